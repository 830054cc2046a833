-- Candidates of a recommendation run may be series: each row names either a film or a series.

ALTER TABLE recommendation_candidates
    ALTER COLUMN movie_id DROP NOT NULL,
    ADD COLUMN series_id uuid REFERENCES series (id) ON DELETE CASCADE,
    ADD CONSTRAINT recommendation_candidates_media_check CHECK (
        (movie_id IS NOT NULL AND series_id IS NULL)
        OR (movie_id IS NULL AND series_id IS NOT NULL)
    );

CREATE INDEX idx_recommendation_candidates_series_id ON recommendation_candidates (series_id);
