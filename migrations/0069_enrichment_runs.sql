-- Progress of each enrichment run, so that an interrupted one is noticed.

CREATE TABLE IF NOT EXISTS enrichment_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    target_version integer NOT NULL,
    expected_movies integer NOT NULL DEFAULT 0,
    expected_series integer NOT NULL DEFAULT 0,
    processed_movies integer NOT NULL DEFAULT 0,
    processed_series integer NOT NULL DEFAULT 0,
    enriched_movies integer NOT NULL DEFAULT 0,
    enriched_series integer NOT NULL DEFAULT 0,
    failed_movies integer NOT NULL DEFAULT 0,
    failed_series integer NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'completed', 'failed', 'cancelled', 'interrupted')),
    -- The scheduler's own id, known only to the running app: not a row of job_runs.
    job_id uuid,
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    last_updated_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz DEFAULT now()
);
CREATE INDEX idx_enrichment_runs_status ON enrichment_runs (status);
CREATE INDEX idx_enrichment_runs_started ON enrichment_runs (started_at DESC);
