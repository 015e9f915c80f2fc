-- Deletes dead letters that somebody decided about more than {age} seconds ago, {most} at the most. One that was given up
-- stays as long as its row, which would seem to be published otherwise.
DELETE FROM {dead_letter}
 WHERE ctid = ANY (ARRAY(
       SELECT d.ctid FROM {dead_letter} d
        WHERE d.state <> 'dead' AND d.decided_at < now() - {age} * interval '1 second'
          AND (d.state = 'retried'
               OR NOT EXISTS (SELECT FROM {table} t WHERE t.{id} = d.event_id::{id_type}))
        LIMIT {most}))
