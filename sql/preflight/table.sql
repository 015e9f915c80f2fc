-- The table $1 (schema), $2 (name): one row if the schema exists, with empty values if the table does not.
-- The columns are those that a row of the log can have: dropped and system columns are left out.
SELECT c.oid AS oid,
       c.relkind::text AS kind,
       c.relpersistence::text AS persistence,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS column_names,
       ARRAY(SELECT a.atttypid FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS column_types,
       ARRAY(SELECT a.attgenerated <> '' FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns_generated
  FROM pg_namespace n
  LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2::text
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
 WHERE n.nspname = $1::text
