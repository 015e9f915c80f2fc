-- How far the server's log is safely written: what a walsender may send.
SELECT pg_current_wal_flush_lsn()::text AS server_end
