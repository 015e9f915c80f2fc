-- Whether another session of this database says a word.
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_locks
    WHERE locktype = 'advisory' AND classid = 2002873456 AND objid = pg_catalog.hashtext($1)::oid AND objsubid = 2
      AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
      AND granted AND pid <> pg_catalog.pg_backend_pid()
) AS is_said
