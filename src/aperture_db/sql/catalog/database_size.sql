-- Disk space of the connected database, the catalogs included.
-- Privilege: CONNECT on the database or pg_read_all_stats, else NULL.
SELECT CASE
    WHEN has_database_privilege(current_database(), 'CONNECT')
        OR pg_has_role('pg_read_all_stats', 'USAGE')
    THEN pg_database_size(current_database())
END
