-- How film recommendations are computed: a single row of limits and weights.

CREATE TABLE recommendation_config (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    max_candidates integer NOT NULL DEFAULT 50000,
    selected_count integer NOT NULL DEFAULT 12,
    recent_watch_limit integer NOT NULL DEFAULT 50,
    similarity_weight numeric(3,2) NOT NULL DEFAULT 0.40,
    novelty_weight numeric(3,2) NOT NULL DEFAULT 0.20,
    rating_weight numeric(3,2) NOT NULL DEFAULT 0.20,
    diversity_weight numeric(3,2) NOT NULL DEFAULT 0.20,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER trigger_recommendation_config_updated_at
    BEFORE UPDATE ON recommendation_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

INSERT INTO recommendation_config (id) VALUES (1);
