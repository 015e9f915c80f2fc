-- The rows of the table of endpoints, if they are others than those whose mark is $1; none else. $2 are the columns that
-- are read. The mark is of whole rows, and what is not asked for is not read: a look at rows that did not change is cheap.
WITH seen AS MATERIALIZED (
    SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex') AS mark
      FROM (SELECT walpost_row::text AS line FROM {webhook_endpoint} walpost_row) lines
), endpoint AS MATERIALIZED (
    SELECT (SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')::text
              FROM jsonb_each(to_jsonb(walpost_row)) field
             WHERE field.key = ANY ($2::text[]) AND jsonb_typeof(field.value) <> 'null') AS fields
      FROM {webhook_endpoint} walpost_row
     WHERE (SELECT mark FROM seen) IS DISTINCT FROM $1::text
)
SELECT seen.mark, endpoint.fields
  FROM seen LEFT JOIN endpoint ON true
 ORDER BY endpoint.fields COLLATE "C"
