INSERT INTO public.orders (id, customer, status, total_cents, parcels, dispatched, version)
VALUES ($1::text::uuid, $2, $3, $4, $5, $6, $7);
