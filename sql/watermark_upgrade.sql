-- What a table of watermarks from before version 0.2 lacks; see watermark.sql. Takes no time: the values are null.
ALTER TABLE {watermark}
    ADD COLUMN IF NOT EXISTS delivered       pg_snapshot,
    ADD COLUMN IF NOT EXISTS delivered_at    timestamptz,
    ADD COLUMN IF NOT EXISTS dead_letters_to int8;
