-- The series that each user has marked as being watched.

CREATE TABLE user_watching_series (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    added_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, series_id)
);
CREATE INDEX idx_user_watching_series_user ON user_watching_series (user_id);
CREATE INDEX idx_user_watching_series_series ON user_watching_series (series_id);
