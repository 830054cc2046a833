-- Finds the films that the library's collections lack, and tells requests made for such gaps from
-- those made in discovery.

CREATE TABLE gap_analysis_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')),
    error_message text,
    collections_scanned integer NOT NULL DEFAULT 0,
    total_parts integer NOT NULL DEFAULT 0,
    owned_parts integer NOT NULL DEFAULT 0,
    missing_count integer NOT NULL DEFAULT 0
);
CREATE INDEX idx_gap_analysis_runs_status ON gap_analysis_runs (status);
CREATE INDEX idx_gap_analysis_runs_created_at ON gap_analysis_runs (created_at DESC);

CREATE TABLE gap_analysis_results (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id uuid NOT NULL REFERENCES gap_analysis_runs (id) ON DELETE CASCADE,
    collection_id integer NOT NULL,
    collection_name text NOT NULL,
    collection_poster_path text,
    tmdb_id integer NOT NULL,
    title text NOT NULL,
    release_year integer,
    release_date text,
    poster_path text,
    CONSTRAINT gap_analysis_results_run_collection_tmdb UNIQUE (run_id, collection_id, tmdb_id)
);
CREATE INDEX idx_gap_analysis_results_run_id ON gap_analysis_results (run_id);
CREATE INDEX idx_gap_analysis_results_collection_id ON gap_analysis_results (collection_id);
CREATE INDEX idx_gap_analysis_results_tmdb_id ON gap_analysis_results (tmdb_id);

ALTER TABLE discovery_requests ADD COLUMN source text NOT NULL DEFAULT 'discovery';

CREATE INDEX idx_discovery_requests_source ON discovery_requests (user_id, source);
