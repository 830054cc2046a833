-- name: backup_config
-- Purpose: records a backup.
-- Privilege: UPDATE on backup_config.
UPDATE backup_config
SET last_backup_at = %(backup_at)s,
    last_backup_filename = %(filename)s,
    last_backup_size_bytes = %(size_bytes)s

-- name: column_types
-- Purpose: the types of a table's columns by name, for COPY in binary.
-- Privilege: none.
SELECT attname, atttypid
FROM pg_attribute
WHERE attrelid = to_regclass(quote_ident(%(table)s))
    AND attnum > 0
    AND NOT attisdropped

-- name: is_in_use
-- Purpose: checks for a library or users that a sample library would mix with.
-- Privilege: SELECT on the tables.
SELECT EXISTS (SELECT FROM movies) OR EXISTS (SELECT FROM series) OR EXISTS (SELECT FROM users)

-- name: job_config
-- Purpose: writes the schedule and the last run of one job.
-- Privilege: INSERT and UPDATE on job_config.
INSERT INTO job_config (
    job_name, schedule_type, schedule_hour, schedule_minute, schedule_day_of_week,
    schedule_interval_hours, schedule_interval_minutes,
    last_run_at, last_run_status, last_run_duration_ms
)
VALUES (
    %(job_name)s, %(schedule_type)s, %(hour)s, %(minute)s, %(day_of_week)s,
    %(interval_hours)s, %(interval_minutes)s,
    %(last_run_at)s, %(last_run_status)s, %(last_run_duration_ms)s
)
ON CONFLICT (job_name) DO UPDATE SET
    schedule_type = excluded.schedule_type,
    schedule_hour = excluded.schedule_hour,
    schedule_minute = excluded.schedule_minute,
    schedule_day_of_week = excluded.schedule_day_of_week,
    schedule_interval_hours = excluded.schedule_interval_hours,
    schedule_interval_minutes = excluded.schedule_interval_minutes,
    last_run_at = excluded.last_run_at,
    last_run_status = excluded.last_run_status,
    last_run_duration_ms = excluded.last_run_duration_ms

-- name: newest_schema
-- Purpose: checks that the schema has the column that the newest migration added.
-- Privilege: none.
SELECT EXISTS (
    SELECT
    FROM pg_attribute
    WHERE attrelid = to_regclass('watch_history')
        AND attname = 'playback_position_ticks'
        AND NOT attisdropped
)

-- name: setting
-- Purpose: writes one setting, over an existing value.
-- Privilege: INSERT and UPDATE on system_settings.
INSERT INTO system_settings (key, value)
VALUES (%(key)s, %(value)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: setup_progress
-- Purpose: marks the first set-up as finished.
-- Privilege: UPDATE on setup_progress.
UPDATE setup_progress
SET completed_steps = %(steps)s::jsonb,
    current_step = NULL,
    completed_at = %(completed_at)s

-- name: top_picks_config
-- Purpose: turns Top Picks on.
-- Privilege: UPDATE on top_picks_config.
UPDATE top_picks_config
SET is_enabled = true,
    last_refreshed_at = %(refreshed_at)s

-- name: vector_indexes
-- Purpose: the HNSW indexes on the embedding tables of one dimension, with their definitions.
-- Privilege: none.
SELECT index.relname, pg_get_indexdef(index.oid)
FROM pg_index
JOIN pg_class AS index ON index.oid = pg_index.indexrelid
JOIN pg_am ON pg_am.oid = index.relam
WHERE pg_am.amname = 'hnsw'
    AND pg_index.indrelid IN (
        to_regclass(%(suffix)s),
        to_regclass('series_' || %(suffix)s),
        to_regclass('episode_' || %(suffix)s)
    )
ORDER BY index.relname
