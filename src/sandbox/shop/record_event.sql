-- The outbox: the event goes into the same transaction as the change that it tells of. `clock_timestamp()` is the time of
-- this very statement, from which the sandbox measures how long the event is under way.
INSERT INTO public.outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
VALUES ($1::text::uuid, 'order', $2, $3,
        $4::text::jsonb || jsonb_build_object('recorded_at', clock_timestamp()), $5::text::jsonb);
