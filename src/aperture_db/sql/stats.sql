-- name: create
-- The samples of counts and sizes.
-- Privilege: CREATE on schema aperture_db; the creator owns the table.
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

-- name: insert
-- Records one sample. Privilege: INSERT on aperture_db.samples, and SELECT for what it returns.
INSERT INTO aperture_db.samples (
    is_exact, newest_migration, database_bytes, table_bytes, index_bytes, counts, group_bytes
)
VALUES (
    %(is_exact)s, %(newest_migration)s, %(database_bytes)s, %(table_bytes)s, %(index_bytes)s,
    %(counts)s, %(group_bytes)s
)
RETURNING sampled_at

-- name: samples
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

-- name: thin
-- Of days longer ago than 90, only the last sample is kept, so that hourly samples don't accumulate.
-- Privilege: SELECT and DELETE on aperture_db.samples.
DELETE FROM aperture_db.samples AS old
USING aperture_db.samples AS later
WHERE old.sampled_at < date_trunc('day', now(), 'UTC') - interval '90 days'
    AND later.sampled_at > old.sampled_at
    AND date_trunc('day', later.sampled_at, 'UTC') = date_trunc('day', old.sampled_at, 'UTC')

-- name: all_items
-- Every film, series or episode. Privilege: SELECT on the table.
SELECT id FROM {table}

-- name: count_embedded_items
-- The number of the items that have an embedding of the active model. Privilege: SELECT on the tables.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows
FROM ({items}) AS item
WHERE item.id IN ({embedded})

-- name: count_items
-- The number of items that a query finds. Privilege: that of the query.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows FROM ({items}) AS item

-- name: count_rows
-- Rows of one table. Privilege: SELECT on one of its columns.
SELECT {source}::text AS source, NULL::text AS detail, count(*) AS rows FROM {table}

-- name: embedded_items
-- Items that have an embedding of these models. Privilege: SELECT on the table.
SELECT {item_column} AS id FROM {table} WHERE model = ANY ({models})

-- name: embeddings_by_model
-- Rows of one table of embeddings per model. Privilege: SELECT on the table.
SELECT {source}::text AS source, model AS detail, count(*) AS rows FROM {table} GROUP BY model

-- name: episodes_in_libraries
-- Episodes of the series that the last sync was asked for.
-- Privilege: SELECT on episodes, series and library_config.
SELECT id
FROM {schema}.episodes
WHERE series_id IN ({series})

-- name: job_results
-- For each job its newest run, and what the newest completed one reported. Error messages and
-- metadata can hold secrets: only numbers are read. Privilege: SELECT on job_runs.
SELECT
    job.name AS job_name,
    newest.status AS last_status,
    completed.completed_at,
    completed.items_total::bigint AS items_total,
    completed.total_series,
    completed.total_episodes
FROM unnest(%(jobs)s::text[]) AS job (name)
LEFT JOIN LATERAL (
    SELECT run.status
    FROM {schema}.job_runs AS run
    WHERE run.job_name = job.name
    ORDER BY run.started_at DESC
    LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT
        run.completed_at,
        run.items_total,
        CASE jsonb_typeof(run.metadata -> 'totalSeries')
            WHEN 'number' THEN (run.metadata ->> 'totalSeries')::numeric::bigint
        END AS total_series,
        CASE jsonb_typeof(run.metadata -> 'totalEpisodes')
            WHEN 'number' THEN (run.metadata ->> 'totalEpisodes')::numeric::bigint
        END AS total_episodes
    FROM {schema}.job_runs AS run
    WHERE run.job_name = job.name AND run.status = 'completed'
    ORDER BY run.started_at DESC
    LIMIT 1
) AS completed ON true

-- name: library_changes
-- When libraries of each kind were last added, or switched on or off.
-- Privilege: SELECT on library_config.
SELECT collection_type, max(updated_at) FROM {schema}.library_config GROUP BY collection_type

-- name: migrations
-- The newest recorded migration and their number. Privilege: SELECT on aperture_migrations.
SELECT 'migrations' AS source, max(name) AS detail, count(*) AS rows FROM {schema}.aperture_migrations

-- name: model_shares
-- Shares of the models in tables of embeddings, as the last ANALYZE saw them.
-- Privilege: SELECT on the tables; tables without it give no row.
SELECT s.schemaname AS schema, s.tablename AS name, common.model, common.share::float8
FROM pg_stats AS s,
    unnest(s.most_common_vals::text::text[], s.most_common_freqs) AS common (model, share)
WHERE s.attname = 'model'
    AND (s.schemaname, s.tablename) IN (
        SELECT wanted.schema, wanted.name
        FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS wanted (schema, name)
    )
ORDER BY common.share DESC

-- name: movies_in_libraries
-- Films that the last sync was asked for: those of enabled libraries, or all as long as no library
-- of films is configured. Privilege: SELECT on movies and library_config.
SELECT id
FROM {schema}.movies
WHERE provider_library_id IN (
        SELECT provider_library_id
        FROM {schema}.library_config
        WHERE is_enabled AND collection_type = 'movies'
    )
    OR NOT EXISTS (SELECT FROM {schema}.library_config WHERE collection_type = 'movies')

-- name: movies_to_embed
-- Films that the job makes embeddings for: those of enabled libraries, or all as long as no
-- library is configured. Privilege: SELECT on movies and library_config.
SELECT id
FROM {schema}.movies
WHERE provider_library_id IN (SELECT provider_library_id FROM {schema}.library_config WHERE is_enabled)
    OR NOT EXISTS (SELECT FROM {schema}.library_config)

-- name: recommendations_shown
-- Titles chosen by the newest completed run of each user (and media type): what users see.
-- Runs of films never set completed_at. Privilege: SELECT on recommendation_runs and _candidates.
SELECT 'recommendations_shown' AS source, NULL::text AS detail, count(*) AS rows
FROM {schema}.recommendation_candidates
WHERE is_selected AND run_id IN (
    SELECT DISTINCT ON ({run_of}) id
    FROM {schema}.recommendation_runs
    WHERE status = 'completed'
    ORDER BY {run_of}, created_at DESC
)

-- name: series_in_libraries
-- Series that the last sync was asked for: those of enabled libraries, or all as long as no
-- library of series is configured. Privilege: SELECT on series and library_config.
SELECT id
FROM {schema}.series
WHERE provider_library_id IN (
        SELECT provider_library_id
        FROM {schema}.library_config
        WHERE is_enabled AND collection_type = 'tvshows'
    )
    OR NOT EXISTS (SELECT FROM {schema}.library_config WHERE collection_type = 'tvshows')

-- name: series_to_embed
-- Series that need an embedding: those of enabled libraries, or all as long as no library of
-- series is enabled. Privilege: SELECT on series and library_config.
SELECT id
FROM {schema}.series
WHERE provider_library_id IN (
        SELECT provider_library_id
        FROM {schema}.library_config
        WHERE is_enabled AND collection_type = 'tvshows'
    )
    OR NOT EXISTS (
        SELECT FROM {schema}.library_config WHERE is_enabled AND collection_type = 'tvshows'
    )

-- name: users_enabled
-- Users that Aperture works for. Privilege: SELECT on users.
SELECT 'users_enabled' AS source, NULL::text AS detail, count(*) AS rows
FROM {schema}.users
WHERE is_enabled

-- name: users_of_media_server
-- Users of the media server in use: the configured one, else the only one that there are users of.
-- The detail is NULL where users of several leave it open. Privilege: SELECT on users and system_settings.
SELECT 'users_of_media_server' AS source, server.provider AS detail, count(u.id) AS rows
FROM (
    SELECT coalesce(
        (SELECT value FROM {schema}.system_settings WHERE key = 'media_server_type' AND value <> ''),
        (SELECT min(provider) FROM {schema}.users HAVING count(DISTINCT provider) = 1),
        (SELECT '' WHERE NOT EXISTS (SELECT FROM {schema}.users))
    ) AS provider
) AS server
LEFT JOIN {schema}.users AS u ON u.provider = server.provider
GROUP BY server.provider
