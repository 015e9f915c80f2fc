-- Which transactions are visible, and a position behind the commit of each. The snapshot is taken before anything is
-- worked out. The position is that of the next insert: without synchronous commit a row is visible before its commit is
-- written. Server and timeline say in whose log.
SELECT pg_current_snapshot()::text AS snapshot,
       pg_current_wal_insert_lsn()::text AS insert_lsn,
       ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int8 AS timeline,
       (SELECT c.system_identifier::text FROM pg_control_system() c) AS system_id,
       current_setting('wal_block_size')::int8 AS block_bytes,
       pg_size_bytes(current_setting('wal_segment_size')) AS segment_bytes
