-- Keeps one sample. Privilege: INSERT on aperture_db.samples, and SELECT for what it returns.
INSERT INTO aperture_db.samples (
    is_exact, newest_migration, database_bytes, table_bytes, index_bytes, counts, group_bytes
)
VALUES (
    %(is_exact)s, %(newest_migration)s, %(database_bytes)s, %(table_bytes)s, %(index_bytes)s,
    %(counts)s, %(group_bytes)s
)
RETURNING sampled_at
