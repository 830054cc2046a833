-- When each job runs. Jobs without a row follow the schedule that the app has built in.

CREATE TABLE IF NOT EXISTS job_config (
    job_name text PRIMARY KEY,
    schedule_type text NOT NULL DEFAULT 'daily',
    schedule_hour integer DEFAULT 3,
    schedule_minute integer DEFAULT 0,
    schedule_day_of_week integer,
    schedule_interval_hours integer,
    is_enabled boolean DEFAULT true,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE TRIGGER job_config_updated_at
    BEFORE UPDATE ON job_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE job_config
    ADD CONSTRAINT job_config_schedule_type_check
        CHECK (schedule_type IN ('daily', 'weekly', 'interval', 'manual')),
    ADD CONSTRAINT job_config_hour_check
        CHECK (schedule_hour >= 0 AND schedule_hour <= 23),
    ADD CONSTRAINT job_config_minute_check
        CHECK (schedule_minute >= 0 AND schedule_minute <= 59),
    ADD CONSTRAINT job_config_day_of_week_check
        CHECK (
            schedule_day_of_week IS NULL
            OR (schedule_day_of_week >= 0 AND schedule_day_of_week <= 6)
        ),
    ADD CONSTRAINT job_config_interval_hours_check
        CHECK (
            schedule_interval_hours IS NULL
            OR schedule_interval_hours IN (1, 2, 3, 4, 6, 8, 12)
        );

INSERT INTO job_config (job_name, schedule_type, schedule_hour, schedule_minute)
VALUES
    ('sync-movies', 'daily', 3, 0),
    ('sync-watch-history', 'daily', 3, 0),
    ('generate-embeddings', 'manual', NULL, NULL),
    ('generate-recommendations', 'daily', 4, 0),
    ('rebuild-recommendations', 'manual', NULL, NULL),
    ('sync-strm', 'daily', 5, 0)
ON CONFLICT (job_name) DO NOTHING;

-- A row of these two that was there before becomes manual as well.
UPDATE job_config SET schedule_type = 'manual'
WHERE job_name IN ('generate-embeddings', 'rebuild-recommendations');
