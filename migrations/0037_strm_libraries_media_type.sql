-- A virtual library shows either films or series.

ALTER TABLE strm_libraries
    ADD COLUMN media_type text NOT NULL DEFAULT 'movies' CHECK (media_type IN ('movies', 'series'));

CREATE INDEX idx_strm_libraries_media_type ON strm_libraries (user_id, media_type);
