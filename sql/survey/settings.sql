-- The settings of these names that this server has, with the unit of each and where this session's value comes from.
SELECT name, setting, unit, source FROM pg_settings WHERE name = ANY ($1::text[])
