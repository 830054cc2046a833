-- What each user has watched, how often, and which films are favourites.

CREATE TABLE watch_history (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    play_count integer NOT NULL DEFAULT 0,
    last_played_at timestamptz,
    is_favorite boolean NOT NULL DEFAULT false,
    user_rating numeric(3,1),
    CONSTRAINT watch_history_user_movie_unique UNIQUE (user_id, movie_id)
);
CREATE INDEX idx_watch_history_favorites ON watch_history (user_id) WHERE is_favorite = true;
CREATE INDEX idx_watch_history_last_played ON watch_history (user_id, last_played_at DESC);
CREATE INDEX idx_watch_history_movie_id ON watch_history (movie_id);
CREATE INDEX idx_watch_history_user_id ON watch_history (user_id);
CREATE TRIGGER trigger_watch_history_updated_at
    BEFORE UPDATE ON watch_history
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
