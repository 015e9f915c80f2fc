-- An order and its event, in one transaction: both are committed, or neither.

BEGIN;

WITH placed AS (
    INSERT INTO orders (customer, total_cents) VALUES ('Ada', 1990) RETURNING *
)
INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
SELECT gen_random_uuid(), 'order', id::text, 'OrderPlaced',
       jsonb_build_object('customer', customer, 'total_cents', total_cents),
       '{"correlation_id": "7f3a"}'
  FROM placed;

COMMIT;
