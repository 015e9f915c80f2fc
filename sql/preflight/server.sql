-- The server, the database and the role of this session: one row.
SELECT current_setting('server_version_num')::int4 AS version_num,
       current_setting('server_version') AS version,
       current_setting('wal_level') AS wal_level,
       -- From version 19 on the level follows the first logical slot, and this tells what is in force.
       current_setting('effective_wal_level', true) AS effective_wal_level,
       pg_is_in_recovery() AS is_in_recovery,
       current_database()::text AS database,
       pg_encoding_to_char(d.encoding)::text AS encoding,
       current_user::text AS role,
       r.rolsuper AS is_superuser,
       r.rolreplication AS has_replication,
       -- Managed servers keep the attribute for themselves and lend it by membership.
       EXISTS (SELECT FROM pg_roles p
                WHERE p.rolname = ANY (ARRAY['rds_replication', 'cloudsqlreplica', 'alloydbreplica'])
                  AND pg_has_role(r.oid, p.oid, 'MEMBER')) AS is_lent_replication,
       current_setting('max_replication_slots')::int8 AS max_slots,
       (SELECT count(*) FROM pg_replication_slots) AS used_slots,
       current_setting('max_wal_senders')::int8 AS max_senders,
       (SELECT count(*) FROM pg_stat_replication) AS used_senders
  FROM pg_database d, pg_roles r
 WHERE d.datname = current_database() AND r.rolname = current_user
