-- A recommendation run is about either films or series.

ALTER TABLE recommendation_runs
    ADD COLUMN media_type text NOT NULL DEFAULT 'movie' CHECK (media_type IN ('movie', 'series'));

CREATE INDEX idx_recommendation_runs_media_type ON recommendation_runs (user_id, media_type);
