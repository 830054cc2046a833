-- One row of watch history per user and film, and per user and episode.

CREATE UNIQUE INDEX idx_watch_history_user_movie_unique
    ON watch_history (user_id, movie_id) WHERE movie_id IS NOT NULL;
CREATE UNIQUE INDEX idx_watch_history_user_episode_unique
    ON watch_history (user_id, episode_id) WHERE episode_id IS NOT NULL;
