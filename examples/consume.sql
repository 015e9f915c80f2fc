-- What the consumers write: invoices, and which events they have handled.
-- Nothing keeps a second invoice of an order out but the inbox.

CREATE TABLE inbox (
    consumer   text        NOT NULL,
    event_id   text        NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

CREATE TABLE invoice (
    number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    text   NOT NULL,
    total_cents bigint NOT NULL
);
