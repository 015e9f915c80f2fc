-- The business table of the example. `version` counts the changes of an order under its row lock, so it says in which
-- order the events of one order really happened, whatever walpost thinks.
CREATE TABLE IF NOT EXISTS public.orders (
    id          uuid        PRIMARY KEY,
    customer    text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('placed', 'paid', 'shipped', 'cancelled')),
    total_cents bigint      NOT NULL,
    parcels     bigint      NOT NULL,
    dispatched  bigint      NOT NULL DEFAULT 0,
    version     bigint      NOT NULL,
    placed_at   timestamptz NOT NULL DEFAULT now()
);
