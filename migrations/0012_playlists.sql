-- Playlists on the media server that Aperture fills with recommendations or channels.

CREATE TABLE playlists (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    channel_id uuid REFERENCES channels (id) ON DELETE CASCADE,
    name text NOT NULL,
    provider_playlist_id text NOT NULL,
    playlist_type text NOT NULL DEFAULT 'recommendations'
        CHECK (playlist_type IN ('recommendations', 'channel', 'shared_channel')),
    channel_share_id uuid REFERENCES channel_shares (id) ON DELETE CASCADE,
    is_active boolean NOT NULL DEFAULT true,
    last_synced_at timestamptz,
    item_count integer DEFAULT 0
);
CREATE INDEX idx_playlists_channel_id ON playlists (channel_id);
CREATE INDEX idx_playlists_provider_id ON playlists (provider_playlist_id);
CREATE INDEX idx_playlists_user_id ON playlists (user_id);
CREATE TRIGGER trigger_playlists_updated_at
    BEFORE UPDATE ON playlists
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
