-- The data that events tell of. The table `outbox` comes from `walpost setup`.

CREATE TABLE orders (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer    text   NOT NULL,
    total_cents bigint NOT NULL,
    state       text   NOT NULL DEFAULT 'placed'
);
