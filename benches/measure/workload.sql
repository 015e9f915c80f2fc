-- The workload of the benchmarks: n events, per_tx rows a transaction, committed one by one, of this many aggregates in turn.
-- A payload is some 300 bytes of jsonb, or of `bytes` bytes that compress badly, as what is compressed already does.
-- Needs the outbox table that `walpost setup` makes; the columns that are not named take their defaults.
CREATE OR REPLACE PROCEDURE walpost_bench_load(n int, per_tx int, keys int DEFAULT 10000, bytes int DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  i int := 0;
  noise text := (SELECT string_agg(md5(k::text), '') FROM generate_series(0, bytes / 32) k);
BEGIN
  SET LOCAL synchronous_commit = off;
  WHILE i < n LOOP
    IF bytes IS NULL THEN
      INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
      SELECT gen_random_uuid(), 'order', ((i + k) % keys)::text, 'OrderPlaced',
        jsonb_build_object('order_id', i + k, 'customer', 'cust-' || ((i + k) % 5000), 'total_cents', (i + k)::bigint * 7 % 100000, 'currency', 'EUR',
          'lines', jsonb_build_array(jsonb_build_object('sku', 'SKU-' || ((i + k) % 977), 'qty', (i + k) % 9),
                                     jsonb_build_object('sku', 'SKU-' || ((i + k) % 577), 'qty', (i + k) % 5)),
          'note', repeat('x', 100)),
        jsonb_build_object('correlation_id', md5((i + k)::text))
      FROM generate_series(0, least(per_tx, n - i) - 1) k;
    ELSE
      INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
      SELECT gen_random_uuid(), 'order', ((i + k) % keys)::text, 'OrderPlaced',
        jsonb_build_object('n', i + k, 'noise', left(noise, bytes - 30)),
        jsonb_build_object('correlation_id', md5((i + k)::text))
      FROM generate_series(0, least(per_tx, n - i) - 1) k;
    END IF;
    i := i + per_tx;
    COMMIT;
  END LOOP;
END $$;
