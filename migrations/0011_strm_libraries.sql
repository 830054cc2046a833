-- Virtual libraries of STRM files that show recommendations on the media server.

CREATE TABLE strm_libraries (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    channel_id uuid REFERENCES channels (id) ON DELETE CASCADE,
    name text NOT NULL,
    path text NOT NULL,
    provider_library_id text,
    is_active boolean NOT NULL DEFAULT true,
    last_synced_at timestamptz,
    file_count integer DEFAULT 0
);
CREATE INDEX idx_strm_libraries_channel_id ON strm_libraries (channel_id);
CREATE INDEX idx_strm_libraries_path ON strm_libraries (path);
CREATE INDEX idx_strm_libraries_user_id ON strm_libraries (user_id);
CREATE TRIGGER trigger_strm_libraries_updated_at
    BEFORE UPDATE ON strm_libraries
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
