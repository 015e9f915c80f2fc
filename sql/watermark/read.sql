-- The watermark of slot $1: one row, or none.
SELECT system_id, timeline, confirmed_lsn::text AS confirmed, ceiling_lsn::text AS ceiling,
       event_lsn::text AS event_lsn, event_index, event_sequence, stream, stream_created
  FROM {watermark}
 WHERE slot = $1
