-- Whether every row of the partition {part} is delivered by every slot, and none waits for a decision about its dead letter:
-- one row, with the transaction before which all are delivered. Null, or no row, while that is not known.
  WITH known AS MATERIALIZED (
       SELECT array_agg(w.delivered) AS delivered
         FROM {watermark} w, pg_control_system() c
       HAVING bool_and(w.delivered IS NOT NULL AND w.system_id = c.system_identifier::text)),
       bound AS MATERIALIZED (
       SELECT (SELECT pg_snapshot_xmin(d) FROM unnest(k.delivered) d ORDER BY 1 LIMIT 1) AS below FROM known k)
SELECT b.below::text AS below,
       NOT EXISTS (SELECT FROM {part} t WHERE t.xid IS NULL)
       AND NOT EXISTS (SELECT FROM {part} t WHERE t.xid >= (SELECT below FROM bound))
       AND NOT EXISTS (SELECT FROM {dead_letter} l JOIN {part} t ON t.{id} = l.event_id::{id_type} WHERE l.state = 'dead')
       AS is_done
  FROM bound b
