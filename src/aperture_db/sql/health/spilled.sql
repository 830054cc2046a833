-- What sorts and hashes of this database wrote to temporary files since the statistics were reset.
-- Privilege: none.
SELECT
    temp_files,
    temp_bytes::bigint,
    pg_size_bytes(current_setting('work_mem')) AS work_mem_bytes
FROM pg_stat_database
WHERE datname = current_database()
