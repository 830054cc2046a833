-- The server's own cache, and what there is to cache.
-- Privilege: CONNECT on the database or pg_read_all_stats, else the size is NULL.
SELECT
    pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes,
    CASE
        WHEN has_database_privilege(current_database(), 'CONNECT')
            OR pg_has_role('pg_read_all_stats', 'USAGE')
        THEN pg_database_size(current_database())
    END AS database_bytes,
    blks_hit::bigint AS hit_blocks,
    blks_read::bigint AS read_blocks
FROM pg_stat_database
WHERE datname = current_database()
