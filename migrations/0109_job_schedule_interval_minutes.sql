-- Jobs may also run every 15 or 30 minutes. An interval is given in hours or in minutes, not both.

ALTER TABLE job_config ADD COLUMN schedule_interval_minutes integer;

ALTER TABLE job_config DROP CONSTRAINT IF EXISTS job_config_interval_hours_check;

ALTER TABLE job_config
    ADD CONSTRAINT job_config_interval_hours_check CHECK (
        schedule_interval_hours IS NULL OR schedule_interval_hours IN (1, 2, 3, 4, 6, 8, 12)
    ),
    ADD CONSTRAINT job_config_interval_minutes_check CHECK (
        schedule_interval_minutes IS NULL OR schedule_interval_minutes IN (15, 30)
    ),
    ADD CONSTRAINT job_config_interval_mutual_exclusive_check CHECK (
        schedule_interval_hours IS NULL OR schedule_interval_minutes IS NULL
    );
