-- The rows of the table of endpoints, if they are others than those whose mark is $1; none else. $2 are the columns that
-- are read: whatever else an application keeps there is no change.
WITH endpoint AS MATERIALIZED (
    SELECT (SELECT coalesce(jsonb_object_agg(field.key, field.value), '{}')::text
              FROM jsonb_each(to_jsonb(walpost_row)) field
             WHERE field.key = ANY ($2::text[]) AND jsonb_typeof(field.value) <> 'null') AS fields
      FROM {webhook_endpoint} walpost_row
), seen AS (
    SELECT encode(sha256(convert_to(coalesce(string_agg(fields, E'\n' ORDER BY fields COLLATE "C"), ''), 'UTF8')), 'hex') AS mark
      FROM endpoint
)
SELECT seen.mark, endpoint.fields
  FROM seen LEFT JOIN endpoint ON seen.mark IS DISTINCT FROM $1::text
 ORDER BY endpoint.fields COLLATE "C"
