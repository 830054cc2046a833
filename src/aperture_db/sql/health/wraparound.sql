-- The age of the oldest transaction and multixact id of each database.
-- Privilege: none.
SELECT
    datname::text AS database,
    greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint AS age,
    datname = current_database() AS is_current,
    current_setting('autovacuum_freeze_max_age')::bigint AS freeze_max_age
FROM pg_database
ORDER BY age DESC
