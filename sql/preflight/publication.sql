-- The publication $1 and what it does with the table $2 (schema), $3 (name): one row, or none without the publication.
-- Column list and row filter exist from version 15 on, hence the way through jsonb.
SELECT p.pubinsert AS publishes_insert,
       p.pubviaroot AS is_via_root,
       t.row IS NOT NULL AS has_table,
       ARRAY(SELECT jsonb_array_elements_text(t.row -> 'attnames')) AS column_names,
       t.row ->> 'rowfilter' AS row_filter,
       -- The table belongs to it, by name or as one of all: if has_table is false all the same, it is partitioned and
       -- its rows go out under the names of its partitions.
       p.puballtables OR EXISTS (SELECT FROM pg_publication_rel m WHERE m.prpubid = p.oid AND m.prrelid = c.oid)
           AS is_member
  FROM pg_publication p
  LEFT JOIN LATERAL (SELECT to_jsonb(l) AS row FROM pg_publication_tables l
                      WHERE l.pubname = p.pubname AND l.schemaname = $2::text AND l.tablename = $3::text) t ON true
  LEFT JOIN (pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace)
         ON n.nspname = $2::text AND c.relname = $3::text
 WHERE p.pubname = $1::text
