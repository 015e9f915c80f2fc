-- What holds the log back however fast its reader is: the oldest transactions that have written, and those that were
-- prepared and forgotten. The age is null for other roles' sessions, unless one may read all statistics.
SELECT a.pid::text AS name, false AS is_prepared, a.database::text AS database,
       extract(epoch FROM now() - a.xact_start)::float8 AS age
  FROM (SELECT pid, datname AS database, xact_start FROM pg_stat_activity
         WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()) a
UNION ALL
SELECT p.gid, true, p.database::text, extract(epoch FROM now() - p.prepared)::float8 FROM pg_prepared_xacts p
 ORDER BY age DESC NULLS LAST
 LIMIT 20
