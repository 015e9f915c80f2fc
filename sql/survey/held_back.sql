-- How much log slot $1 has not confirmed, in bytes; no row without such a slot.
SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,
                       confirmed_flush_lsn)::int8 AS held_bytes
  FROM pg_replication_slots WHERE slot_name = $1::text
