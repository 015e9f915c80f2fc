-- Sends the rows that are there: they are deleted and inserted as they were, so that they come through the log. In the
-- order of created_at, those of one transaction in the order in which they lie.
WITH before AS (DELETE FROM {table} t WHERE {unsent} RETURNING t.ctid AS walpost_place, t.*)
INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {values} FROM before t ORDER BY {order}
