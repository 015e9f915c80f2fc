-- Endpoints of webhooks, one row for each, for `webhooks.source = "table"`. What a column means, what it may hold, and what
-- null stands for is told by the reference (docs/reference/config.md): the columns are the fields of [[webhooks.endpoint]].
--
-- Only the name is constrained. What is wrong with a row is told by walpost, all at once and without a value; a constraint
-- that fails would write the whole row, secrets included, into the log of the server.
CREATE TABLE {webhook_endpoint} (
    name          text    PRIMARY KEY,
    url           text,
    -- What requests are signed with: all of them. Whoever can read this column can sign as we do.
    secrets       text[]  DEFAULT '{}',
    subjects      text[],
    format        text,
    ordering      text,
    -- An object of texts. It may hold secrets, too.
    headers       jsonb,
    concurrency   integer,
    timeout       text,
    retries       text[],
    max_waiting   integer,
    disable_after text,
    start         text,
    plain_http    boolean DEFAULT false,
    enabled       boolean DEFAULT true
);
