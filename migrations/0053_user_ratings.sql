-- Ratings from 1 to 10 that users give to films and series, and what a bad one leads to.

CREATE TABLE user_ratings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    movie_id uuid REFERENCES movies (id) ON DELETE CASCADE,
    series_id uuid REFERENCES series (id) ON DELETE CASCADE,
    rating integer NOT NULL CHECK (rating >= 1 AND rating <= 10),
    source text NOT NULL DEFAULT 'manual' CHECK (source IN ('manual', 'trakt')),
    CONSTRAINT user_ratings_one_media CHECK (
        (movie_id IS NOT NULL AND series_id IS NULL)
        OR (movie_id IS NULL AND series_id IS NOT NULL)
    )
);
CREATE INDEX idx_user_ratings_movie_id ON user_ratings (movie_id) WHERE movie_id IS NOT NULL;
CREATE INDEX idx_user_ratings_rating ON user_ratings (user_id, rating);
CREATE INDEX idx_user_ratings_series_id ON user_ratings (series_id) WHERE series_id IS NOT NULL;
CREATE INDEX idx_user_ratings_user_id ON user_ratings (user_id);
CREATE UNIQUE INDEX idx_user_ratings_user_movie
    ON user_ratings (user_id, movie_id) WHERE movie_id IS NOT NULL;
CREATE UNIQUE INDEX idx_user_ratings_user_series
    ON user_ratings (user_id, series_id) WHERE series_id IS NOT NULL;
CREATE TRIGGER trigger_user_ratings_updated_at
    BEFORE UPDATE ON user_ratings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE user_preferences
    ADD COLUMN dislike_behavior text NOT NULL DEFAULT 'exclude'
        CHECK (dislike_behavior IN ('exclude', 'penalize'));
