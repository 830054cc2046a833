-- Questions that the assistant proposes to each user.

CREATE TABLE IF NOT EXISTS assistant_suggestions (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    suggestions jsonb NOT NULL DEFAULT '[]',
    generated_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_assistant_suggestions_updated_at ON assistant_suggestions (updated_at);
CREATE TRIGGER set_assistant_suggestions_updated_at
    BEFORE UPDATE ON assistant_suggestions
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
