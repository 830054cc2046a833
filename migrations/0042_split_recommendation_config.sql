-- Film and series recommendations get limits and weights of their own.

ALTER TABLE recommendation_config RENAME COLUMN max_candidates TO movie_max_candidates;
ALTER TABLE recommendation_config RENAME COLUMN selected_count TO movie_selected_count;
ALTER TABLE recommendation_config RENAME COLUMN recent_watch_limit TO movie_recent_watch_limit;
ALTER TABLE recommendation_config RENAME COLUMN similarity_weight TO movie_similarity_weight;
ALTER TABLE recommendation_config RENAME COLUMN novelty_weight TO movie_novelty_weight;
ALTER TABLE recommendation_config RENAME COLUMN rating_weight TO movie_rating_weight;
ALTER TABLE recommendation_config RENAME COLUMN diversity_weight TO movie_diversity_weight;

ALTER TABLE recommendation_config
    ADD COLUMN series_max_candidates integer NOT NULL DEFAULT 50000,
    ADD COLUMN series_similarity_weight numeric(3,2) NOT NULL DEFAULT 0.40,
    ADD COLUMN series_novelty_weight numeric(3,2) NOT NULL DEFAULT 0.20,
    ADD COLUMN series_rating_weight numeric(3,2) NOT NULL DEFAULT 0.20,
    ADD COLUMN series_diversity_weight numeric(3,2) NOT NULL DEFAULT 0.20;
