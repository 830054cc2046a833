-- name: dead_jobs
-- Schedules of jobs that no code knows any more. Privilege: SELECT on job_config.
SELECT {columns}
FROM {schema}.job_config AS target
WHERE target.job_name = ANY (%(dead_jobs)s)

-- name: delete_candidates
-- The candidates of recommendation runs. Privilege: SELECT and DELETE on recommendation_candidates.
DELETE FROM {schema}.recommendation_candidates WHERE run_id = ANY (%(ids)s)

-- name: delete_evidence
-- The evidence of recommendation runs. Privilege: SELECT and DELETE on recommendation_evidence,
-- SELECT on recommendation_candidates.
DELETE FROM {schema}.recommendation_evidence
WHERE candidate_id IN (SELECT id FROM {schema}.recommendation_candidates WHERE run_id = ANY (%(ids)s))

-- name: delete_runs
-- Recommendation runs. Privilege: SELECT and DELETE on recommendation_runs.
DELETE FROM {schema}.recommendation_runs WHERE id = ANY (%(ids)s)

-- name: expired_sessions
-- Logins that have ended; Aperture deletes one only when its cookie is shown again.
-- Privilege: SELECT on sessions.
SELECT {columns}
FROM {schema}.sessions AS target
WHERE target.expires_at < now()

-- name: job_history
-- Finished runs beyond the newest of each job. The newest completed run of a job stays whatever
-- its age: what it counted tells whether a sync is complete. Runs that an error refers to stay,
-- because deleting them would change the error. Privilege: SELECT on job_runs and api_errors.
SELECT {columns}
FROM {schema}.job_runs AS target
JOIN (
    SELECT
        id,
        row_number() OVER (PARTITION BY job_name ORDER BY started_at DESC, id) AS position,
        row_number() OVER (PARTITION BY job_name, status ORDER BY started_at DESC, id)
            AS position_in_status
    FROM {schema}.job_runs
) AS ranked ON ranked.id = target.id
WHERE ranked.position > %(runs_per_job)s
    AND NOT (target.status = 'completed' AND ranked.position_in_status = 1)
    AND target.id NOT IN ({referenced})

-- name: measure
-- How many rows there are, and the stored width of their values. Privilege: that of the query.
SELECT count(*) AS rows, coalesce(sum(measured.width), 0)::bigint AS width_bytes
FROM ({rows}) AS measured (width)

-- name: old_errors
-- Errors of external services that were dismissed a week ago (Aperture's own rule), or are old.
-- Privilege: SELECT on api_errors.
SELECT {columns}
FROM {schema}.api_errors AS target
WHERE target.dismissed_at < now() - interval '7 days'
    OR target.created_at < now() - make_interval(secs => %(error_age_seconds)s)

-- name: old_pool_rows
-- Titles of the discovery pool that were not refreshed for a long time and that no suggestion
-- refers to. Privilege: SELECT on discovery_pool and discovery_candidates.
SELECT {columns}
FROM {schema}.discovery_pool AS target
WHERE target.updated_at < now() - make_interval(secs => %(cache_age_seconds)s)
    AND NOT EXISTS (SELECT FROM {schema}.discovery_candidates WHERE pool_id = target.id)

-- name: old_rows
-- Rows of a cache that were not refreshed for a long time; what is still wanted is fetched again.
-- Privilege: SELECT on the table.
SELECT {columns}
FROM {table} AS target
WHERE target.{refreshed_at} < now() - make_interval(secs => %(cache_age_seconds)s)

-- name: orphaned_verdicts
-- Cached verdicts on pairs of titles of which one is gone. Ids are made anew by every sync, so
-- none of these can ever be asked for again.
-- Privilege: SELECT on similarity_validation_cache, movies and series.
SELECT {columns}
FROM {schema}.similarity_validation_cache AS target
WHERE NOT EXISTS (
        SELECT FROM {schema}.movies WHERE id = target.source_id AND target.source_type = 'movie'
        UNION ALL
        SELECT FROM {schema}.series WHERE id = target.source_id AND target.source_type = 'series'
    )
    OR NOT EXISTS (
        SELECT FROM {schema}.movies WHERE id = target.target_id AND target.target_type = 'movie'
        UNION ALL
        SELECT FROM {schema}.series WHERE id = target.target_id AND target.target_type = 'series'
    )

-- name: other_models
-- Embeddings of other models than those that Aperture reads from this table.
-- Privilege: SELECT on the table.
SELECT {columns}
FROM {table} AS target
WHERE target.model <> ALL ({models})

-- name: runs_in_errors
-- Runs that an error refers to. Privilege: SELECT on api_errors.
SELECT job_id FROM {schema}.api_errors WHERE job_id IS NOT NULL

-- name: space
-- The space of a table that an empty one would not take: heap and TOAST, and the indexes. Empty
-- indexes keep their first pages; how many differs by access method. Waits behind ACCESS EXCLUSIVE
-- locks. Privilege: none.
WITH first_pages (access_method, pages) AS (
    VALUES ('btree', 1), ('gist', 1), ('gin', 2), ('hnsw', 2), ('spgist', 3), ('hash', 4),
        ('brin', 6)
), empty_index AS (
    SELECT i.indrelid, sum(p.pages) * current_setting('block_size')::bigint AS bytes
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_am AS a ON a.oid = c.relam
    JOIN first_pages AS p ON p.access_method = a.amname
    GROUP BY i.indrelid
)
SELECT
    (pg_table_size(c.oid) - coalesce(toast.bytes, 0))::bigint AS data_bytes,
    (pg_indexes_size(c.oid) - coalesce(own.bytes, 0))::bigint AS index_bytes,
    pg_total_relation_size(c.oid) AS total_bytes
FROM pg_class AS c
LEFT JOIN empty_index AS own ON own.indrelid = c.oid
LEFT JOIN empty_index AS toast ON toast.indrelid = c.reltoastrelid
WHERE c.oid = %(oid)s

-- name: superseded_candidates
-- What superseded recommendation runs weighed. Privilege: SELECT on recommendation_candidates and
-- recommendation_runs.
SELECT {columns}
FROM {schema}.recommendation_candidates AS target
WHERE target.run_id IN ({runs})

-- name: superseded_discovery_runs
-- Discovery runs without candidates (each run replaces those of the one before) that are older
-- than the newest completed one of the same user and media type.
-- Privilege: SELECT on discovery_runs and discovery_candidates.
SELECT {columns}
FROM {schema}.discovery_runs AS target
WHERE NOT EXISTS (SELECT FROM {schema}.discovery_candidates WHERE run_id = target.id)
    AND (target.status <> 'running' OR target.created_at < now() - interval '1 day')
    AND EXISTS (
        SELECT
        FROM {schema}.discovery_runs AS newer
        WHERE newer.user_id = target.user_id
            AND newer.media_type = target.media_type
            AND newer.status = 'completed'
            AND newer.created_at > target.created_at
    )

-- name: superseded_evidence
-- Why superseded recommendation runs chose as they did. Privilege: SELECT on
-- recommendation_evidence, recommendation_candidates and recommendation_runs.
SELECT {columns}
FROM {schema}.recommendation_evidence AS target
JOIN {schema}.recommendation_candidates AS candidate ON candidate.id = target.candidate_id
WHERE candidate.run_id IN ({runs})

-- name: superseded_runs
-- Recommendation runs older than the newest completed one of the same user (and media type), which
-- is the only one that Aperture reads. A run that may still be at work stays.
-- Privilege: SELECT on recommendation_runs.
SELECT {columns}
FROM {schema}.recommendation_runs AS target
JOIN (
    SELECT
        id,
        count(*) FILTER (WHERE status = 'completed') OVER (
            PARTITION BY {run_of}
            ORDER BY created_at DESC, id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS newer_completed
    FROM {schema}.recommendation_runs
) AS ranked ON ranked.id = target.id
WHERE ranked.newer_completed >= 1
    AND (target.status <> 'running' OR target.created_at < now() - interval '1 day')
