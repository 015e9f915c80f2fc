-- Takes a word back that this session has said; nothing happens if it has not.
SELECT pg_catalog.pg_advisory_unlock_shared(2002873456, pg_catalog.hashtext($1))
FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND classid = 2002873456 AND objid = pg_catalog.hashtext($1)::oid AND objsubid = 2
  AND pid = pg_catalog.pg_backend_pid()
