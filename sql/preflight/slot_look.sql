-- How much log the slot $1 keeps, and how near to lost it is: one row, with null values if there is no such slot. On a
-- standby there is no end of the log to measure from.
SELECT l.server_end::text AS server_end,
       s.slot_name IS NOT NULL AS is_there,
       s.active_pid IS NOT NULL AS is_active,
       s.wal_status AS wal_status,
       pg_wal_lsn_diff(l.server_end, s.restart_lsn)::int8 AS retained_bytes,
       -- Null without a limit (max_slot_wal_keep_size), and for a slot that is lost.
       s.safe_wal_size AS safe_bytes
  FROM (SELECT CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_current_wal_flush_lsn() END AS server_end) l
  LEFT JOIN pg_replication_slots s ON s.slot_name = $1::text
