-- Pages whose checksum was wrong when they were read, per database; the row without a name is for
-- objects that all databases share. Privilege: none.
SELECT
    coalesce(datname::text, 'shared objects') AS name,
    checksum_failures AS failures,
    checksum_last_failure AS last_at
FROM pg_stat_database
WHERE checksum_failures > 0
ORDER BY failures DESC
