-- Nobody else changes the order until this transaction ends.
SELECT customer, status, total_cents, parcels, dispatched, version FROM public.orders WHERE id = $1::text::uuid FOR UPDATE;
