-- The truth that the stream is held against. An event without a payload (a tombstone) has an empty body.
SELECT id::text, aggregate_type, aggregate_id, event_type, coalesce(payload::text, '') FROM public.outbox;
