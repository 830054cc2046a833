-- Recommendation runs, the films each run weighed, and the watched films that speak for them.

CREATE TABLE recommendation_runs (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    run_type text NOT NULL DEFAULT 'scheduled'
        CHECK (run_type IN ('scheduled', 'manual', 'channel')),
    channel_id uuid REFERENCES channels (id) ON DELETE SET NULL,
    candidate_count integer NOT NULL DEFAULT 0,
    selected_count integer NOT NULL DEFAULT 0,
    duration_ms integer,
    status text NOT NULL DEFAULT 'running'
        CHECK (status IN ('running', 'completed', 'failed')),
    error_message text
);
CREATE INDEX idx_recommendation_runs_created_at ON recommendation_runs (created_at DESC);
CREATE INDEX idx_recommendation_runs_user_id ON recommendation_runs (user_id);

CREATE TABLE recommendation_candidates (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    run_id uuid NOT NULL REFERENCES recommendation_runs (id) ON DELETE CASCADE,
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    rank integer NOT NULL,
    is_selected boolean NOT NULL DEFAULT false,
    final_score numeric(6,4) NOT NULL,
    similarity_score numeric(6,4),
    novelty_score numeric(6,4),
    rating_score numeric(6,4),
    diversity_score numeric(6,4),
    score_breakdown jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_recommendation_candidates_movie_id ON recommendation_candidates (movie_id);
CREATE INDEX idx_recommendation_candidates_run_id ON recommendation_candidates (run_id);
CREATE INDEX idx_recommendation_candidates_selected
    ON recommendation_candidates (run_id, is_selected) WHERE is_selected = true;

CREATE TABLE recommendation_evidence (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    candidate_id uuid NOT NULL REFERENCES recommendation_candidates (id) ON DELETE CASCADE,
    similar_movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    similarity numeric(6,4) NOT NULL,
    evidence_type text NOT NULL DEFAULT 'watched'
        CHECK (evidence_type IN ('watched', 'favorite', 'highly_rated', 'recent'))
);
CREATE INDEX idx_recommendation_evidence_candidate_id ON recommendation_evidence (candidate_id);
