-- Who reads from the slot; no row, or null, if nobody does.
SELECT active_pid FROM pg_catalog.pg_replication_slots WHERE slot_name = $1
