-- Libraries of the media server, and which of them are synced.

CREATE TABLE IF NOT EXISTS library_config (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    provider_library_id varchar(255) NOT NULL UNIQUE,
    name varchar(255) NOT NULL,
    collection_type varchar(50) NOT NULL,
    is_enabled boolean DEFAULT false,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX idx_library_config_enabled ON library_config (is_enabled) WHERE is_enabled = true;
CREATE TRIGGER set_library_config_updated_at
    BEFORE UPDATE ON library_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
