-- Blocks of this database found in shared buffers, and those asked of the system.
-- Privilege: none.
SELECT
    blks_hit::bigint AS hit_blocks,
    blks_read::bigint AS read_blocks,
    pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes
FROM pg_stat_database
WHERE datname = current_database()
