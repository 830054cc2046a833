-- Prepared transactions of this database: they hold locks and keep dead rows without any session.
-- Privilege: none.
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age_seconds
FROM pg_prepared_xacts
WHERE database = current_database()
ORDER BY prepared
