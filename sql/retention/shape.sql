-- The type of the column {id} of {table}, and whether the table is partitioned by ranges of the column {created_at} alone:
-- one row.
SELECT format_type(i.atttypid, i.atttypmod) AS id_type,
       COALESCE(p.partstrat = 'r' AND p.partnatts = 1 AND p.partattrs[0] = c.attnum, false) AS is_by_age
  FROM pg_attribute i
  LEFT JOIN pg_attribute c ON c.attrelid = i.attrelid AND c.attname = $2::text AND NOT c.attisdropped
  LEFT JOIN pg_partitioned_table p ON p.partrelid = i.attrelid
 WHERE i.attrelid = {table_literal}::regclass AND i.attname = $1::text AND NOT i.attisdropped
