-- What of the delivery status there is for the outbox $1 (schema), $2 (name): one row.
SELECT (SELECT count(*) = 3 FROM pg_class w JOIN pg_attribute a ON a.attrelid = w.oid AND NOT a.attisdropped
         WHERE w.relnamespace = n.oid AND w.relname = 'walpost_watermark'
           AND a.attname IN ('delivered', 'delivered_at', 'dead_letters_to')) AS has_columns,
       d.oid IS NOT NULL AS has_dead_letters,
       COALESCE(has_table_privilege(d.oid, 'SELECT') AND has_table_privilege(d.oid, 'INSERT')
                AND has_table_privilege(d.oid, 'DELETE'), false) AS may_use_dead_letters,
       v.oid IS NOT NULL AS has_view,
       -- What the view says of itself, if it looks at the table that has the name now.
       CASE WHEN EXISTS (SELECT FROM pg_rewrite r
                           JOIN pg_depend p ON p.classid = 'pg_rewrite'::regclass AND p.objid = r.oid
                                AND p.refclassid = 'pg_class'::regclass
                           JOIN pg_class t ON t.oid = p.refobjid AND t.relnamespace = n.oid AND t.relname = $2::text
                          WHERE r.ev_class = v.oid)
            THEN obj_description(v.oid, 'pg_class') END AS form
  FROM (SELECT 1) one
  LEFT JOIN pg_namespace n ON n.nspname = $1::text
  LEFT JOIN pg_class d ON d.relnamespace = n.oid AND d.relname = 'walpost_dead_letter' AND d.relkind = 'r'
  LEFT JOIN pg_class v ON v.relnamespace = n.oid AND v.relname = 'walpost_event_status' AND v.relkind = 'v'
