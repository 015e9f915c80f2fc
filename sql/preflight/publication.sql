-- The publication $1 and what it does with the table $2 (schema), $3 (name): one row, or none without the publication.
-- Column list and row filter exist from version 15 on, hence the way through jsonb.
SELECT p.pubinsert AS publishes_insert,
       p.pubviaroot AS is_via_root,
       t.row IS NOT NULL AS has_table,
       ARRAY(SELECT jsonb_array_elements_text(t.row -> 'attnames')) AS column_names,
       t.row ->> 'rowfilter' AS row_filter,
       -- A partitioned table whose rows go out under the names of its partitions.
       EXISTS (SELECT FROM pg_class c
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = $2::text AND c.relname = $3::text AND c.relkind = 'p'
                  AND (p.puballtables
                       OR EXISTS (SELECT FROM pg_publication_rel m WHERE m.prpubid = p.oid AND m.prrelid = c.oid)
                       OR EXISTS (SELECT FROM pg_partition_tree(c.oid) leaf
                                    JOIN pg_class lc ON lc.oid = leaf.relid
                                    JOIN pg_namespace ln ON ln.oid = lc.relnamespace
                                    JOIN pg_publication_tables l
                                      ON l.schemaname = ln.nspname AND l.tablename = lc.relname
                                   WHERE l.pubname = p.pubname AND leaf.relid <> c.oid))) AS has_partitions
  FROM pg_publication p
  LEFT JOIN LATERAL (SELECT to_jsonb(l) AS row FROM pg_publication_tables l
                      WHERE l.pubname = p.pubname AND l.schemaname = $2::text AND l.tablename = $3::text) t ON true
 WHERE p.pubname = $1::text
