-- A playlist holds either films or series.

ALTER TABLE playlists
    ADD COLUMN media_type text NOT NULL DEFAULT 'movies' CHECK (media_type IN ('movies', 'series'));

CREATE INDEX idx_playlists_media_type ON playlists (user_id, media_type);
