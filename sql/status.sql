-- Delivery status, told from the watermark and the transaction that wrote a row, without touching the row. Watermarks of
-- another server, which a dump or a copy brings along, say nothing here.

-- One at a time.
SELECT pg_advisory_xact_lock(hashtext('walpost_status'));

-- The status of each row of the outbox: 'pending', 'published' or 'dead'; null for a row whose xid is null. It is worked
-- out row by row: ask by id, or for pending rows with `AND xid >= walpost_pending_from()`.
CREATE OR REPLACE VIEW {schema}.walpost_event_status AS
SELECT t.{id} AS id,
       CASE WHEN EXISTS (SELECT FROM {dead_letter} d WHERE d.event_id = t.{id}::text AND d.state <> 'retried')
                 THEN 'dead'
            WHEN {xid} IS NULL THEN NULL
            WHEN (SELECT bool_and(COALESCE(pg_visible_in_snapshot({xid}, w.delivered), false)) FROM {watermark} w
                   WHERE w.system_id = (SELECT c.system_identifier::text FROM pg_control_system() c))
                 THEN 'published'
            ELSE 'pending'
       END AS status,
       {xid} AS xid
  FROM {table} t;

COMMENT ON VIEW {schema}.walpost_event_status IS {form};

-- How far each slot is. At most 10000 pending rows are counted.
CREATE OR REPLACE VIEW {schema}.walpost_lag AS
SELECT w.slot, w.confirmed_lsn, w.written_at, w.delivered_at,
       CASE WHEN w.delivered IS NOT NULL THEN p.pending END AS pending,
       p.oldest_pending, d.dead
  FROM {watermark} w
 CROSS JOIN LATERAL (
       SELECT count(*) AS pending, min(r.created_at) AS oldest_pending
         FROM (SELECT {created_at} AS created_at
                 FROM {table} t WHERE {xid} = ANY (ARRAY(SELECT pg_snapshot_xip(w.delivered)))
               UNION ALL
               SELECT {created_at} FROM {table} t WHERE {xid} >= pg_snapshot_xmax(w.delivered)
               LIMIT 10000) r) p
 CROSS JOIN LATERAL (
       SELECT count(*) AS dead FROM {dead_letter} l WHERE l.slot = w.slot AND l.state = 'dead') d
 WHERE w.system_id = (SELECT c.system_identifier::text FROM pg_control_system() c);

-- The status of one event. Null if the outbox has no such row and no dead letter was made of it.
CREATE OR REPLACE FUNCTION {schema}.walpost_status(event_id text) RETURNS text LANGUAGE plpgsql STABLE AS $walpost$
DECLARE
    wanted {table}.{id}%TYPE := event_id;
    found_status text;
BEGIN
    SELECT s.status INTO found_status FROM {schema}.walpost_event_status s WHERE s.id = wanted;
    IF NOT FOUND THEN
        SELECT 'dead' INTO found_status FROM {dead_letter} d WHERE d.event_id = wanted::text AND d.state <> 'retried';
    END IF;
    RETURN found_status;
END $walpost$;

-- No row with a lower xid is pending: what a query for pending rows can use an index on xid with.
CREATE OR REPLACE FUNCTION {schema}.walpost_pending_from() RETURNS xid8 LANGUAGE sql STABLE AS $walpost$
    SELECT COALESCE((SELECT pg_snapshot_xmin(w.delivered) FROM {watermark} w
                      WHERE w.system_id = (SELECT c.system_identifier::text FROM pg_control_system() c)
                      ORDER BY 1 NULLS FIRST LIMIT 1), '0'::xid8)
$walpost$;

-- Publishes an event again that became a dead letter: its row is deleted and inserted as it is now, so that it comes
-- through the log once more. False if there is no such dead letter, or its row is gone.
CREATE OR REPLACE FUNCTION {schema}.walpost_retry(event_id text) RETURNS bool LANGUAGE plpgsql AS $walpost$
DECLARE
    wanted {table}.{id}%TYPE := event_id;
    again {table}%ROWTYPE;
    columns text;
BEGIN
    -- Whoever else decides about it at the same time waits, and comes too late.
    PERFORM FROM {dead_letter} d WHERE d.event_id = wanted::text AND d.state = 'dead' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM {table} t WHERE t.{id} = wanted RETURNING t.* INTO again;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    {renew}SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns FROM pg_attribute a
     WHERE a.attrelid = {table_literal}::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM (SELECT $1.*) row',
                   {table_literal}, columns) USING again;
    UPDATE {dead_letter} d SET state = 'retried', decided_at = now()
     WHERE d.event_id = wanted::text AND d.state = 'dead';
    RETURN true;
END $walpost$;

-- Gives an event up that became a dead letter; one without an id goes by its position. False if there is no such dead
-- letter that nobody has decided about.
CREATE OR REPLACE FUNCTION {schema}.walpost_discard(event_id text) RETURNS bool LANGUAGE plpgsql AS $walpost$
BEGIN
    UPDATE {dead_letter} d SET state = 'discarded', decided_at = now()
     WHERE walpost_discard.event_id IN (d.event_id, d.position) AND d.state = 'dead';
    RETURN FOUND;
END $walpost$;
