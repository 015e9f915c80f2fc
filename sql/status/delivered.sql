-- What is visible in the snapshot is delivered. A process that lost the slot to another one and does not know it yet
-- changes nothing; so it is before the first watermark. If this is lost in a crash it is found out anew, so nobody waits
-- for the disk.
  WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
       written AS (
       UPDATE {watermark} w
          SET delivered = $2::text::pg_snapshot, delivered_at = now(), dead_letters_to = $3::int8
         FROM soon
        WHERE w.slot = $1 AND w.system_id = $4 AND w.timeline = $5 AND w.confirmed_lsn <= $6::text::pg_lsn
          AND w.stream = $7 AND w.stream_created = $8
       RETURNING w.slot)
SELECT pg_notify('walpost_delivered', written.slot) FROM written
