-- What the slot sends: inserts into the outbox and nothing else. Updates and deletes (cleanup) stay unseen, and a
-- partitioned outbox goes by its own name.
CREATE PUBLICATION {publication} FOR TABLE {table}
    WITH (publish = 'insert', publish_via_partition_root = true);
