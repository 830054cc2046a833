-- MDBList as a source: scores, streaming providers, keywords and languages of films and series,
-- lists for Top Picks, and a log of errors that external services return.

ALTER TABLE movies
    ADD COLUMN letterboxd_score numeric(3,1),
    ADD COLUMN mdblist_score integer,
    ADD COLUMN streaming_providers jsonb DEFAULT '[]',
    ADD COLUMN mdblist_keywords text[] DEFAULT '{}',
    ADD COLUMN mdblist_enriched_at timestamptz,
    ADD COLUMN languages text[] DEFAULT '{}';

CREATE INDEX IF NOT EXISTS idx_movies_letterboxd_score ON movies (letterboxd_score);
CREATE INDEX IF NOT EXISTS idx_movies_mdblist_score ON movies (mdblist_score);
CREATE INDEX IF NOT EXISTS idx_movies_mdblist_enriched_at ON movies (mdblist_enriched_at);
CREATE INDEX IF NOT EXISTS idx_movies_streaming_providers ON movies USING gin (streaming_providers);
CREATE INDEX IF NOT EXISTS idx_movies_languages ON movies USING gin (languages);

ALTER TABLE series
    ADD COLUMN letterboxd_score numeric(3,1),
    ADD COLUMN mdblist_score integer,
    ADD COLUMN streaming_providers jsonb DEFAULT '[]',
    ADD COLUMN mdblist_keywords text[] DEFAULT '{}',
    ADD COLUMN mdblist_enriched_at timestamptz,
    ADD COLUMN languages text[] DEFAULT '{}';

CREATE INDEX IF NOT EXISTS idx_series_letterboxd_score ON series (letterboxd_score);
CREATE INDEX IF NOT EXISTS idx_series_mdblist_score ON series (mdblist_score);
CREATE INDEX IF NOT EXISTS idx_series_mdblist_enriched_at ON series (mdblist_enriched_at);
CREATE INDEX IF NOT EXISTS idx_series_streaming_providers ON series USING gin (streaming_providers);
CREATE INDEX IF NOT EXISTS idx_series_languages ON series USING gin (languages);

ALTER TABLE top_picks_config
    ADD COLUMN popularity_source text DEFAULT 'local',
    ADD COLUMN mdblist_movies_list_id integer,
    ADD COLUMN mdblist_series_list_id integer,
    ADD COLUMN mdblist_movies_list_name text,
    ADD COLUMN mdblist_series_list_name text,
    ADD COLUMN hybrid_local_weight numeric(3,2) DEFAULT 0.50,
    ADD COLUMN hybrid_mdblist_weight numeric(3,2) DEFAULT 0.50;

CREATE TABLE IF NOT EXISTS api_errors (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider text NOT NULL,
    error_type text NOT NULL,
    error_code text,
    http_status integer,
    job_id uuid REFERENCES job_runs (id) ON DELETE SET NULL,
    error_message text,
    reset_at timestamptz,
    action_url text,
    created_at timestamptz DEFAULT now(),
    dismissed_at timestamptz
);
CREATE INDEX IF NOT EXISTS idx_api_errors_active ON api_errors (provider, error_type, created_at)
    WHERE dismissed_at IS NULL;
CREATE INDEX IF NOT EXISTS idx_api_errors_dismissed ON api_errors (dismissed_at)
    WHERE dismissed_at IS NOT NULL;
