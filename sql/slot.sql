-- The log from here on is kept for walpost. Only after the publication: decoding sees the catalog as it was at each
-- change, so a change that is older than the publication can never be decoded (older servers stop there for ever).
SELECT pg_create_logical_replication_slot({slot}, 'pgoutput');
