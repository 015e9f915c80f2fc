-- The watermark's table $1 (schema), $2 (name), if there is one, and whether this session may use it: one row.
SELECT c.oid IS NOT NULL AS is_there,
       COALESCE(has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE'), false) AS may_use
  FROM (SELECT 1) one
  LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text)
         ON c.relname = $2::text AND c.relkind = 'r'
