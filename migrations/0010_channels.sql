-- Channels: recommendations by a theme that a user defines, and may share with other users.

CREATE TABLE channels (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    owner_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name text NOT NULL,
    description text,
    genre_filters text[] DEFAULT '{}',
    text_preferences text,
    example_movie_ids uuid[] DEFAULT '{}',
    is_pinned_row boolean NOT NULL DEFAULT false,
    playlist_id text,
    is_active boolean NOT NULL DEFAULT true,
    last_generated_at timestamptz
);
CREATE INDEX idx_channels_is_active ON channels (is_active) WHERE is_active = true;
CREATE INDEX idx_channels_owner_id ON channels (owner_id);
CREATE TRIGGER trigger_channels_updated_at
    BEFORE UPDATE ON channels
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

CREATE TABLE channel_shares (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    channel_id uuid NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
    shared_with_user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    viewer_playlist_id text,
    CONSTRAINT channel_shares_unique UNIQUE (channel_id, shared_with_user_id)
);
CREATE INDEX idx_channel_shares_channel_id ON channel_shares (channel_id);
CREATE INDEX idx_channel_shares_user_id ON channel_shares (shared_with_user_id);
