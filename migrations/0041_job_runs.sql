-- The history of job runs, and the last run beside the schedule of each job.

CREATE TABLE IF NOT EXISTS job_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    job_name text NOT NULL,
    status text NOT NULL CHECK (status IN ('completed', 'failed', 'cancelled')),
    started_at timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    items_processed integer DEFAULT 0,
    items_total integer DEFAULT 0,
    error_message text,
    metadata jsonb DEFAULT '{}',
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_job_runs_job_name ON job_runs (job_name);
CREATE INDEX idx_job_runs_job_name_started ON job_runs (job_name, started_at DESC);
CREATE INDEX idx_job_runs_started_at ON job_runs (started_at DESC);

ALTER TABLE job_config
    ADD COLUMN last_run_at timestamptz,
    ADD COLUMN last_run_status text,
    ADD COLUMN last_run_duration_ms integer;
