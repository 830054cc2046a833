-- The tool's own schema, apart from everything of Aperture's.
-- Privilege: CREATE on the database; who makes it owns it.
CREATE SCHEMA IF NOT EXISTS aperture_db;
COMMENT ON SCHEMA aperture_db IS
    'Samples of aperture-db stats --record. Nothing else needs it; it can be dropped.';
CREATE TABLE IF NOT EXISTS aperture_db.samples (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sampled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_exact boolean NOT NULL,
    newest_migration text,
    database_bytes bigint,
    table_bytes bigint NOT NULL,
    index_bytes bigint NOT NULL,
    counts json NOT NULL,
    group_bytes json NOT NULL
);
COMMENT ON COLUMN aperture_db.samples.is_exact IS 'false: the counts are estimates';
COMMENT ON COLUMN aperture_db.samples.counts IS 'rows, by the names of stats --json';
COMMENT ON COLUMN aperture_db.samples.group_bytes IS
    'disk space of tables and their indexes, by kind of data';
