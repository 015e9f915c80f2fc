-- For an application that cannot be changed: the database records what it does. A trigger sees rows, not reasons.

CREATE FUNCTION tell_of_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (id, aggregate_type, aggregate_id, event_type, payload)
    VALUES (gen_random_uuid(), 'order', NEW.id::text,
            CASE TG_OP WHEN 'INSERT' THEN 'OrderPlaced' ELSE 'OrderChanged' END,
            jsonb_build_object('customer', NEW.customer, 'total_cents', NEW.total_cents, 'state', NEW.state));
    RETURN NULL;
END $$;

CREATE TRIGGER tell_of_order AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION tell_of_order();
