UPDATE public.orders SET status = $2, dispatched = $3, version = $4 WHERE id = $1::text::uuid;
