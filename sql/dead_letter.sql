-- Dead letters: the events that no message can carry, one row for each. They are the only events that delivery writes a
-- row for. A row is here before the snapshot of the watermark covers its event, so nothing dead is ever shown published.
CREATE TABLE {dead_letter} (
    slot            text        NOT NULL,
    -- Where the event stands in the log, as in the header Walpost-Position.
    position        text        NOT NULL,
    -- The event as far as it can be read.
    event_id        text,
    aggregate_type  text,
    aggregate_id    text,
    event_type      text,
    -- Why: a code, and a sentence without a value of the row.
    reason          text        NOT NULL,
    detail          text        NOT NULL,
    -- Its record in the stream.
    stream_sequence int8,
    dead_at         timestamptz NOT NULL DEFAULT now(),
    -- What somebody decided: 'dead' until then.
    state           text        NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'retried', 'discarded')),
    decided_at      timestamptz,
    PRIMARY KEY (slot, position)
);
CREATE INDEX walpost_dead_letter_event_id ON {dead_letter} (event_id);
