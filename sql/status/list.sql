-- Dead letters, the newest first: those that nobody has decided about, or all if $1; one event's if $2 is its id or its
-- position; at most $3.
SELECT slot, position, event_id, aggregate_type, aggregate_id, event_type, reason, detail, stream_sequence, state,
       to_char(dead_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS dead_at,
       to_char(decided_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS decided_at
  FROM {dead_letter} AS walpost_dead_letter
 WHERE ($1 OR state = 'dead') AND ($2::text IS NULL OR $2 IN (event_id, position))
 ORDER BY walpost_dead_letter.dead_at DESC, stream_sequence DESC
 LIMIT $3
