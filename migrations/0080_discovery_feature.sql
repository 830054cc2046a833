-- Discovery: titles missing from the library that a user may like, found by one run per user and
-- media type, and the requests for them that were sent to Seerr.

CREATE TABLE discovery_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series')),
    run_type text NOT NULL DEFAULT 'scheduled' CHECK (run_type IN ('scheduled', 'manual')),
    candidates_fetched integer NOT NULL DEFAULT 0,
    candidates_filtered integer NOT NULL DEFAULT 0,
    candidates_scored integer NOT NULL DEFAULT 0,
    candidates_stored integer NOT NULL DEFAULT 0,
    duration_ms integer,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')),
    error_message text
);
CREATE INDEX idx_discovery_runs_user_id ON discovery_runs (user_id);
CREATE INDEX idx_discovery_runs_created_at ON discovery_runs (created_at DESC);
CREATE INDEX idx_discovery_runs_user_media_type
    ON discovery_runs (user_id, media_type, created_at DESC);

CREATE TABLE discovery_candidates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id uuid NOT NULL REFERENCES discovery_runs (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series')),
    tmdb_id integer NOT NULL,
    rank integer NOT NULL,
    final_score numeric(6,4) NOT NULL,
    similarity_score numeric(6,4),
    popularity_score numeric(6,4),
    recency_score numeric(6,4),
    source_score numeric(6,4),
    source text NOT NULL CHECK (source IN (
        'tmdb_recommendations', 'tmdb_similar', 'tmdb_discover',
        'trakt_trending', 'trakt_popular', 'trakt_recommendations',
        'mdblist'
    )),
    source_media_id integer,
    title text NOT NULL,
    original_title text,
    release_year integer,
    poster_path text,
    backdrop_path text,
    overview text,
    genres jsonb DEFAULT '[]',
    vote_average numeric(3,1),
    vote_count integer,
    score_breakdown jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT discovery_candidates_user_media_unique UNIQUE (user_id, media_type, tmdb_id)
);
CREATE INDEX idx_discovery_candidates_run_id ON discovery_candidates (run_id);
CREATE INDEX idx_discovery_candidates_user_id ON discovery_candidates (user_id);
CREATE INDEX idx_discovery_candidates_tmdb_id ON discovery_candidates (tmdb_id);
CREATE INDEX idx_discovery_candidates_user_type_rank
    ON discovery_candidates (user_id, media_type, rank);
CREATE INDEX idx_discovery_candidates_final_score
    ON discovery_candidates (user_id, media_type, final_score DESC);

CREATE TABLE discovery_requests (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series')),
    tmdb_id integer NOT NULL,
    title text NOT NULL,
    seerr_request_id integer,
    seerr_media_id integer,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN (
        'pending', 'submitted', 'approved', 'declined', 'available', 'failed'
    )),
    status_message text,
    discovery_candidate_id uuid REFERENCES discovery_candidates (id) ON DELETE SET NULL
);
CREATE INDEX idx_discovery_requests_user_id ON discovery_requests (user_id);
CREATE INDEX idx_discovery_requests_status ON discovery_requests (status);
CREATE INDEX idx_discovery_requests_tmdb_id ON discovery_requests (tmdb_id);
CREATE INDEX idx_discovery_requests_created_at ON discovery_requests (created_at DESC);
CREATE INDEX idx_discovery_requests_user_tmdb ON discovery_requests (user_id, tmdb_id);
CREATE TRIGGER discovery_requests_updated_at
    BEFORE UPDATE ON discovery_requests
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE users
    ADD COLUMN discover_enabled boolean NOT NULL DEFAULT false,
    ADD COLUMN discover_request_enabled boolean NOT NULL DEFAULT false;

CREATE INDEX idx_users_discover_enabled ON users (discover_enabled)
    WHERE discover_enabled = true;
CREATE INDEX idx_users_discover_request_enabled ON users (discover_request_enabled)
    WHERE discover_request_enabled = true;
