-- How this session came in, as the server sees it: one row.
SELECT s.ssl AS is_encrypted,
       s.version AS tls_version,
       pg_backend_pid() AS pid,
       -- In seconds from now. Infinity is no end, and older servers cannot subtract from it.
       CASE WHEN isfinite(r.rolvaliduntil) THEN extract(epoch FROM r.rolvaliduntil - now())::float8 END
           AS password_valid_for,
       -- Managed servers are told by the role of their administrators.
       (SELECT p.rolname::text FROM pg_roles p
         WHERE p.rolname = ANY (ARRAY['rds_superuser', 'cloudsqlsuperuser', 'alloydbsuperuser', 'azure_pg_admin',
                                      'supabase_admin'])
         ORDER BY p.rolname LIMIT 1) AS administrators
  FROM pg_stat_ssl s, pg_roles r
 WHERE s.pid = pg_backend_pid() AND r.rolname = current_user
