-- Watched series speak for a recommendation too, and the names of the libraries are templates.

ALTER TABLE recommendation_evidence
    ALTER COLUMN similar_movie_id DROP NOT NULL,
    ADD COLUMN similar_series_id uuid REFERENCES series (id) ON DELETE CASCADE,
    ADD CONSTRAINT evidence_has_reference
        CHECK (similar_movie_id IS NOT NULL OR similar_series_id IS NOT NULL);

CREATE INDEX idx_recommendation_evidence_series
    ON recommendation_evidence (similar_series_id) WHERE similar_series_id IS NOT NULL;

INSERT INTO system_settings (key, value, description)
VALUES
    (
        'ai_library_movies_title_template',
        '{{username}}''s AI Picks - Movies',
        'Name of a user''s library of recommended films'
    ),
    (
        'ai_library_series_title_template',
        '{{username}}''s AI Picks - TV Series',
        'Name of a user''s library of recommended series'
    )
ON CONFLICT (key) DO NOTHING;
