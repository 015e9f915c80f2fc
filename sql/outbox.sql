-- The outbox table: an application inserts one row per event, in the transaction of the change that the event tells of.
-- The row's part of the delivery contract: id becomes the message id, payload the body (null is a tombstone), headers
-- become headers. xid says which transaction wrote the row, which is how its delivery is told without touching the row.
CREATE TABLE {table} (
    id             uuid        PRIMARY KEY,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    event_type     text        NOT NULL,
    payload        jsonb,
    headers        jsonb       NOT NULL DEFAULT '{}',
    created_at     timestamptz NOT NULL DEFAULT now(),
    xid            xid8        NOT NULL DEFAULT pg_current_xact_id()
);

-- For counting and deleting by delivery status.
CREATE INDEX ON {table} (xid);
