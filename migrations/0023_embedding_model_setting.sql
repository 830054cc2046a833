-- Settings of the whole installation as keys and values; the first is the embedding model.

CREATE TABLE IF NOT EXISTS system_settings (
    key text PRIMARY KEY,
    value text NOT NULL,
    description text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER trigger_system_settings_updated_at
    BEFORE UPDATE ON system_settings
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

INSERT INTO system_settings (key, value, description)
VALUES ('embedding_model', 'text-embedding-3-small', 'OpenAI model that makes the embeddings')
ON CONFLICT (key) DO NOTHING;
