-- What each slot has said of its delivery: one row a slot. Nothing is deleted while one of them has said nothing, or speaks
-- of another server.
SELECT w.slot, w.system_id = c.system_identifier::text AS is_here, w.delivered IS NOT NULL AS is_known
  FROM {watermark} w, pg_control_system() c
 ORDER BY w.slot
