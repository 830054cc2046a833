-- A user's settings, such as the name of their library, and why a film was recommended.

CREATE TABLE user_settings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    library_name text,
    settings_json jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_user_settings_user_id ON user_settings (user_id);
CREATE TRIGGER trigger_user_settings_updated_at
    BEFORE UPDATE ON user_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE recommendation_candidates
    ADD COLUMN ai_explanation text;
