-- Drops the partition {part} of {table}, of which every row was seen to be delivered, unless a row has come meanwhile: one
-- whose transaction is not before {below}, or unknown. The table is locked first, as an insert does, and for no longer than
-- it takes to look into the index; whoever inserts meanwhile waits that long.
DO $walpost$
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE;
    LOCK TABLE {part} IN ACCESS EXCLUSIVE MODE;
    IF NOT EXISTS (SELECT FROM {part} t WHERE t.xid IS NULL)
       AND NOT EXISTS (SELECT FROM {part} t WHERE t.xid >= '{below}'::xid8) THEN
        DROP TABLE {part};
    END IF;
END $walpost$
