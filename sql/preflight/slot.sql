-- The replication slot $1: one row, or none. Newer servers tell more of it, hence the way through jsonb.
SELECT s.plugin::text AS plugin,
       s.database::text AS database,
       s.temporary AS is_temporary,
       s.active_pid AS active_pid,
       s.wal_status AS wal_status,
       s.confirmed_flush_lsn::text AS confirmed_flush,
       s.restart_lsn::text AS restart,
       COALESCE((j.slot ->> 'two_phase')::bool, false) AS is_two_phase,
       -- From version 17 on; 16 tells only of a conflict with recovery.
       COALESCE(j.slot ->> 'invalidation_reason', CASE WHEN (j.slot ->> 'conflicting')::bool THEN 'conflict' END)
           AS invalidation_reason
  FROM pg_replication_slots s, LATERAL (SELECT to_jsonb(s) AS slot) j
 WHERE s.slot_name = $1::text
