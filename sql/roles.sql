-- The least that each role needs, for PostgreSQL 14 or later. Put in your names and run it in the application's database,
-- as a superuser: before `walpost setup`, and again after it, when there are tables to grant rights on. It can be run at
-- any time, changes nothing that is right already, and takes no right away.
--
--   walpost_setup     makes and owns tables, publication and slot: `walpost setup`, `walpost dlq retry` and `discard`
--   walpost           delivers: `walpost run`, `status`, `doctor`, `dlq list` and `show`
--   walpost_webhooks  sends webhooks to the endpoints of a table (`webhooks.source = "table"`): `walpost webhooks run`
--   shop              the application: it records events and asks how their delivery stands
--
-- It sets no passwords. In psql, `\password walpost` sends only what SCRAM needs, and nothing of it lands in a log.
-- Where REPLICATION is lent (Amazon RDS: GRANT rds_replication TO ...), grant that instead.

DO $roles$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'walpost_setup') THEN
        CREATE ROLE walpost_setup LOGIN REPLICATION;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'walpost') THEN
        CREATE ROLE walpost LOGIN REPLICATION;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop') THEN
        CREATE ROLE shop LOGIN;
    END IF;

    -- For `walpost setup`: a publication needs CREATE on the database, and a slot needs REPLICATION.
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO walpost_setup', current_database());
    GRANT USAGE, CREATE ON SCHEMA public TO walpost_setup;

    -- For the others: to come in, and to see what the schema holds.
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO walpost, shop', current_database());
    GRANT USAGE ON SCHEMA public TO walpost, shop;

    IF to_regclass('public.walpost_lag') IS NULL THEN
        RAISE NOTICE 'run `walpost setup` now, and then this once more';
        RETURN;
    END IF;

    -- What delivery writes down. The outbox itself walpost reads from the log, and has no right to.
    GRANT SELECT, INSERT, UPDATE ON public.walpost_watermark TO walpost;
    GRANT SELECT, INSERT, DELETE ON public.walpost_dead_letter TO walpost;
    -- Only if it cleans up (`retention.delete_after`):
    -- GRANT SELECT, UPDATE (xid), DELETE ON public.outbox TO walpost;
    -- For `walpost status` and `doctor`.
    GRANT SELECT ON public.walpost_lag TO walpost;

    -- The application adds events, and changes none.
    GRANT SELECT, INSERT ON public.outbox TO shop;
    -- For walpost_event_status, walpost_status() and walpost_pending_from().
    GRANT SELECT ON public.walpost_event_status, public.walpost_dead_letter, public.walpost_watermark TO shop;

    -- Only if the endpoints of webhooks are in a table. Whoever reads it can sign as we do: grant it to nobody else.
    IF to_regclass('public.walpost_webhook_endpoint') IS NOT NULL THEN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'walpost_webhooks') THEN
            CREATE ROLE walpost_webhooks LOGIN;
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO walpost_webhooks', current_database());
        GRANT USAGE ON SCHEMA public TO walpost_webhooks;
        GRANT SELECT ON public.walpost_webhook_endpoint TO walpost_webhooks;
        -- Whoever edits the endpoints.
        GRANT SELECT, INSERT, UPDATE, DELETE ON public.walpost_webhook_endpoint TO shop;
    END IF;
END $roles$;
