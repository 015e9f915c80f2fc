-- Raises the watermark of a slot. A process that lost the slot to another one and does not know it yet is behind the
-- row, and changes nothing: no row is reported then. The row must survive a crash of this server, whatever the role's
-- settings; waiting for standbys would only hold up the confirmation.
  WITH durable AS MATERIALIZED (SELECT set_config('synchronous_commit', 'local', true))
INSERT INTO {watermark} AS w
       (slot, system_id, timeline, confirmed_lsn, ceiling_lsn, event_lsn, event_index, event_sequence,
        stream, stream_created)
SELECT $1::text, $2::text, $3::int8, $4::text::pg_lsn, $5::text::pg_lsn, $6::text::pg_lsn, $7::int8, $8::int8,
       $9::text, $10::int8
  FROM durable
    ON CONFLICT (slot) DO UPDATE
   SET system_id = excluded.system_id, timeline = excluded.timeline,
       confirmed_lsn = excluded.confirmed_lsn, ceiling_lsn = excluded.ceiling_lsn,
       event_lsn = excluded.event_lsn, event_index = excluded.event_index, event_sequence = excluded.event_sequence,
       stream = excluded.stream, stream_created = excluded.stream_created, written_at = now(){more}
 WHERE w.system_id <> excluded.system_id
    OR (w.timeline, w.confirmed_lsn) <= (excluded.timeline, excluded.confirmed_lsn)
