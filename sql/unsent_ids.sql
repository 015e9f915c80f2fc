-- The ids of rows that may never have been sent.
SELECT t.{id}::text FROM {table} t WHERE {unsent}
