-- The workload of the benchmarks: n events of about 300 bytes of jsonb, per_tx rows a transaction, committed one by one.
-- Needs the outbox table that `walpost setup` makes; the columns that are not named take their defaults.
CREATE OR REPLACE PROCEDURE walpost_bench_load(n int, per_tx int) LANGUAGE plpgsql AS $$
DECLARE i int := 0;
BEGIN
  SET LOCAL synchronous_commit = off;
  WHILE i < n LOOP
    INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload, headers)
    SELECT gen_random_uuid(), 'order', ((i + k) % 10000)::text, 'OrderPlaced',
      jsonb_build_object('order_id', i + k, 'customer', 'cust-' || ((i + k) % 5000), 'total_cents', (i + k) * 7 % 100000, 'currency', 'EUR',
        'lines', jsonb_build_array(jsonb_build_object('sku', 'SKU-' || ((i + k) % 977), 'qty', (i + k) % 9),
                                   jsonb_build_object('sku', 'SKU-' || ((i + k) % 577), 'qty', (i + k) % 5)),
        'note', repeat('x', 100)),
      jsonb_build_object('correlation_id', md5((i + k)::text))
    FROM generate_series(0, per_tx - 1) k;
    i := i + per_tx;
    COMMIT;
  END LOOP;
END $$;
