-- Who takes the whole log from this server: walsenders that read from no logical slot.
SELECT r.application_name AS name
  FROM pg_stat_replication r
 WHERE NOT EXISTS (SELECT FROM pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
   -- Ours, which only asks.
   AND r.application_name <> $1::text
 ORDER BY name
 LIMIT 100
