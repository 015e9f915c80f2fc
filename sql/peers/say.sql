-- Says a word to the other instances, until it is taken back or the session ends: a shared advisory lock, which waits for
-- nobody.
SELECT pg_catalog.pg_try_advisory_lock_shared(2002873456, pg_catalog.hashtext($1))
