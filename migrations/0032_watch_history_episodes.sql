-- The watch history also holds episodes: each row is about either a film or an episode.

ALTER TABLE watch_history
    DROP CONSTRAINT IF EXISTS watch_history_user_movie_unique,
    ALTER COLUMN movie_id DROP NOT NULL,
    ADD COLUMN episode_id uuid REFERENCES episodes (id) ON DELETE CASCADE,
    ADD COLUMN media_type text NOT NULL DEFAULT 'movie' CHECK (media_type IN ('movie', 'episode')),
    ADD CONSTRAINT watch_history_media_check CHECK (
        (movie_id IS NOT NULL AND episode_id IS NULL AND media_type = 'movie')
        OR (movie_id IS NULL AND episode_id IS NOT NULL AND media_type = 'episode')
    );

-- NULLs never collide in a unique index, so the id that is absent counts as all zeros.
CREATE UNIQUE INDEX watch_history_user_media_unique ON watch_history (
    user_id,
    COALESCE(movie_id, '00000000-0000-0000-0000-000000000000'::uuid),
    COALESCE(episode_id, '00000000-0000-0000-0000-000000000000'::uuid)
);
CREATE INDEX idx_watch_history_episode_id ON watch_history (episode_id);
CREATE INDEX idx_watch_history_media_type ON watch_history (user_id, media_type);
