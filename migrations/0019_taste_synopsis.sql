-- A summary of a user's taste in words, written by the language model.

ALTER TABLE user_preferences
    ADD COLUMN taste_synopsis text,
    ADD COLUMN taste_synopsis_updated_at timestamptz;

CREATE INDEX idx_user_preferences_synopsis_updated
    ON user_preferences (taste_synopsis_updated_at) WHERE taste_synopsis IS NOT NULL;
