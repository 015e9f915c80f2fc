-- Many changes, an event for each, one statement. ORDER BY decides in which order the stream has them.

WITH closed AS (
    UPDATE orders SET state = 'closed' WHERE state = 'placed' RETURNING *
)
INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
SELECT gen_random_uuid(), 'order', id::text, 'OrderClosed', jsonb_build_object('total_cents', total_cents)
  FROM closed ORDER BY id;
