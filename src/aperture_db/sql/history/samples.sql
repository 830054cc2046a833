-- All samples, the oldest first. Privilege: USAGE on schema aperture_db, SELECT on its samples.
SELECT
    sampled_at,
    is_exact,
    newest_migration,
    database_bytes,
    table_bytes,
    index_bytes,
    counts,
    group_bytes
FROM aperture_db.samples
ORDER BY sampled_at
