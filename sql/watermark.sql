-- The watermark: what walpost has confirmed to Postgres, and what of it the stream holds; one row for each slot. It is
-- written before the slot is told, so a slot that has moved further was moved by somebody else.
CREATE TABLE {watermark} (
    slot            text        PRIMARY KEY,
    system_id       text        NOT NULL,
    timeline        int8        NOT NULL,
    -- Nothing after it was confirmed when this row was written, and nothing after the ceiling has been since.
    confirmed_lsn   pg_lsn      NOT NULL,
    ceiling_lsn     pg_lsn      NOT NULL,
    -- The last event before confirmed_lsn: its commit, which row of it, and its sequence in the stream.
    event_lsn       pg_lsn,
    event_index     int8,
    event_sequence  int8,
    -- The stream, and when it was created, in nanoseconds since 1970.
    stream          text        NOT NULL,
    stream_created  int8        NOT NULL,
    written_at      timestamptz NOT NULL DEFAULT now(),
    -- Every row of the outbox whose xid is visible in this snapshot is delivered or a dead letter; null until known.
    delivered       pg_snapshot,
    delivered_at    timestamptz,
    -- The stream's dead letters up to this sequence are rows of walpost_dead_letter.
    dead_letters_to int8
);
