-- The version of the collation rules that the database's indexes were built with, and that of the
-- operating system or ICU library now. From PostgreSQL 15 on. Privilege: none.
SELECT
    'the database''s default' AS name,
    datcollversion AS built_with,
    pg_database_collation_actual_version(oid) AS present
FROM pg_database
WHERE datname = current_database()
    AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
    AND datcollversion IS NOT NULL
