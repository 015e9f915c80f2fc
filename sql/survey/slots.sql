-- All replication slots, those that hold the most log first. Newer servers tell more, hence the way through jsonb.
SELECT s.slot_name::text AS name,
       s.slot_type = 'logical' AS is_logical,
       s.temporary AS is_temporary,
       s.active_pid AS active_pid,
       s.wal_status AS wal_status,
       s.safe_wal_size AS safe_bytes,
       greatest(pg_wal_lsn_diff(h.lsn, s.restart_lsn), 0)::int8 AS retained_bytes,
       greatest(pg_wal_lsn_diff(h.lsn, s.confirmed_flush_lsn), 0)::int8 AS unconfirmed_bytes,
       s.confirmed_flush_lsn::text AS confirmed,
       h.lsn::text AS log_end,
       (j.slot ->> 'failover')::bool AS fails_over,
       extract(epoch FROM now() - (j.slot ->> 'inactive_since')::timestamptz)::float8 AS inactive_for,
       a.application_name AS reader,
       host(a.client_addr) AS reader_address,
       -- A session of another role shows neither to those who may not read all statistics.
       extract(epoch FROM now() - a.backend_start)::float8 AS reading_for
  FROM pg_replication_slots s
  LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid,
       LATERAL (SELECT to_jsonb(s) AS slot) j,
       (SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END AS lsn) h
 ORDER BY retained_bytes DESC NULLS LAST
 LIMIT 1000
