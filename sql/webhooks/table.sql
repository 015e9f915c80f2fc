-- The columns of the table of endpoints $1, and whether everybody who is let into the database may read them: one row, or none
-- without the table.
SELECT ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns,
       has_any_column_privilege('public', c.oid, 'SELECT') AS is_public
  FROM pg_class c
 WHERE c.oid = to_regclass($1::text)
