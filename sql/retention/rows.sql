-- One step of cleanup: looks at the next {most} rows of {part}, in the order of their transactions from {from} on, past
-- {skip} that stayed; deletes those that every slot has delivered and that are older than {age} seconds. Rows that wait for
-- a decision about their dead letter stay, and rows that somebody has locked stay until the next time. One row: what was
-- found. The places of rows are read and used in one statement, so that none can belong to another row meanwhile.
  WITH known AS MATERIALIZED (
       -- Null while a slot has said nothing, or speaks of another server: then there are no rows to look at.
       SELECT array_agg(w.delivered) AS delivered
         FROM {watermark} w, pg_control_system() c
       HAVING bool_and(w.delivered IS NOT NULL AND w.system_id = c.system_identifier::text)),
       looked AS MATERIALIZED (
       SELECT t.tableoid AS part, t.ctid AS place, t.xid,
              COALESCE(t.{created_at}::timestamptz < now() - {age} * interval '1 second', false) AS is_old,
              (SELECT bool_and(pg_visible_in_snapshot(t.xid, d)) FROM known k, unnest(k.delivered) d)
                  AND NOT EXISTS (SELECT FROM {dead_letter} l WHERE l.event_id = t.{id}::text AND l.state = 'dead')
                  AS is_done
         FROM {part} t
        WHERE t.xid >= '{from}'::xid8
          AND t.xid < (SELECT pg_snapshot_xmax(d) FROM known k, unnest(k.delivered) d ORDER BY 1 LIMIT 1)
        ORDER BY t.xid LIMIT {most} OFFSET {skip}),
       doomed AS MATERIALIZED (
       SELECT t.tableoid AS part, t.ctid AS place FROM {part} t
        WHERE t.ctid = ANY (ARRAY(SELECT l.place FROM looked l WHERE l.is_old AND l.is_done))
          AND (t.tableoid, t.ctid) IN (SELECT l.part, l.place FROM looked l WHERE l.is_old AND l.is_done)
          FOR UPDATE OF t SKIP LOCKED),
       deleted AS (
       DELETE FROM {part} t
        WHERE t.ctid = ANY (ARRAY(SELECT d.place FROM doomed d))
          AND (t.tableoid, t.ctid) IN (SELECT d.part, d.place FROM doomed d)
       RETURNING t.xid)
SELECT (SELECT count(*) FROM looked) AS looked,
       (SELECT count(*) FROM looked l WHERE l.is_old) AS old,
       (SELECT count(*) FROM deleted) AS deleted,
       s.last::text AS last,
       -- Rows of the last transaction that stayed: where to go on from is told by both.
       (SELECT count(*) FROM looked l WHERE l.xid = s.last) - (SELECT count(*) FROM deleted d WHERE d.xid = s.last) AS stayed
  FROM (SELECT (SELECT l.xid FROM looked l ORDER BY l.xid DESC LIMIT 1) AS last) s
