-- What the types of this database that are not built in lead to: enums and citext to text, domains to what they are
-- over, however deep. 25 is text. Object ids below 10000 are the same in every server, the others are not.
WITH RECURSIVE step AS (
    SELECT t.oid,
           CASE WHEN t.typtype = 'd' THEN t.typbasetype
                WHEN t.typtype = 'e' THEN 25
                WHEN EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
                              WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
                                AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'citext') THEN 25
           END AS next
      FROM pg_type t
     WHERE t.typtype IN ('d', 'e') OR (t.typtype = 'b' AND t.typname = 'citext')
), walk AS (
    SELECT oid, next FROM step WHERE next IS NOT NULL
    UNION
    SELECT walk.oid, step.next FROM walk JOIN step ON step.oid = walk.next WHERE step.next IS NOT NULL
)
SELECT oid AS type, next AS base FROM walk WHERE next < 10000
