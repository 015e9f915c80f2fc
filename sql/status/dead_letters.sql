-- Writes dead letters down, and up to where in the stream all are. What is there already stays as it is.
  WITH soon AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
       letters AS (
       INSERT INTO {dead_letter}
              (slot, position, event_id, aggregate_type, aggregate_id, event_type, reason, detail, stream_sequence)
       SELECT $1::text, l.* FROM soon,
              unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int8[]) l
           ON CONFLICT DO NOTHING)
UPDATE {watermark} w SET dead_letters_to = $10::int8
 WHERE w.slot = $1 AND w.system_id = $11 AND w.stream = $12 AND w.stream_created = $13
