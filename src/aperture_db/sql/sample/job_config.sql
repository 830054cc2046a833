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
