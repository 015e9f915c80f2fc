-- How long ago the leader wrote the watermark of slot $1, in seconds; no row if it never did.
SELECT extract(epoch FROM now() - written_at)::float8 AS age FROM {watermark} WHERE slot = $1::text
