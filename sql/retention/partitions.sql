-- The partitions of {table}, the oldest first; the default one, and those without an end, have no end here. Ends are read
-- from how the server prints them, in this session's time zone.
SELECT format('%I.%I', p.schema, p.name) AS part,
       p.ends < now() - {age} * interval '1 second' AS is_past,
       -- What is made next mostly continues the last one, so that stays.
       p.ends = max(p.ends) OVER () AS is_last,
       p.may_drop
  FROM (SELECT n.nspname AS schema, c.relname AS name,
               substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(.*)''\)$')::timestamptz AS ends,
               c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'USAGE') AS may_drop
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.inhparent = {table_literal}::regclass AND NOT i.inhdetachpending) p
 ORDER BY p.ends
