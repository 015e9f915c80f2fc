-- Whether our role may delete rows of the outbox $1 (schema), $2 (name), and whether there is an index to find them by: one
-- row. Locking a row, so as to pass over those that others have locked, takes the right to change some column of it.
SELECT COALESCE(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'DELETE')
                AND has_any_column_privilege(c.oid, 'UPDATE'), false) AS may_delete,
       EXISTS (SELECT FROM pg_index i
                 JOIN pg_class x ON x.oid = i.indexrelid
                 JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
                 JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND a.attname = 'xid'
                WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL) AS has_index
  FROM (SELECT 1) one
  LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text)
         ON c.relname = $2::text AND c.relkind IN ('r', 'p')
