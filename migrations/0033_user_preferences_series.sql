-- A user's taste in series, apart from the taste in films.

ALTER TABLE user_preferences
    ADD COLUMN series_taste_embedding halfvec(3072),
    ADD COLUMN series_taste_embedding_updated_at timestamptz,
    ADD COLUMN series_taste_synopsis text,
    ADD COLUMN series_taste_synopsis_updated_at timestamptz;

CREATE INDEX idx_user_preferences_series_synopsis_updated
    ON user_preferences (series_taste_synopsis_updated_at)
    WHERE series_taste_synopsis IS NOT NULL;
