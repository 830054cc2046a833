-- A user's taste: the embedding derived from the watch history, and the user's own choices.

CREATE TABLE user_preferences (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    taste_embedding vector(1536),
    taste_embedding_updated_at timestamptz,
    preferred_genres text[] DEFAULT '{}',
    excluded_genres text[] DEFAULT '{}',
    novelty_weight numeric(3,2) DEFAULT 0.3,
    rating_weight numeric(3,2) DEFAULT 0.2,
    settings jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX idx_user_preferences_user_id ON user_preferences (user_id);
CREATE TRIGGER trigger_user_preferences_updated_at
    BEFORE UPDATE ON user_preferences
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
