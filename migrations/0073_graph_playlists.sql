-- Media server playlists that users made from the similarity graph.

CREATE TABLE IF NOT EXISTS graph_playlists (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL,
    description text,
    media_server_playlist_id text NOT NULL,
    owner_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source_item_id text,
    source_item_type text,
    item_count integer NOT NULL DEFAULT 0,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_graph_playlists_owner ON graph_playlists (owner_id);
CREATE INDEX IF NOT EXISTS idx_graph_playlists_media_server
    ON graph_playlists (media_server_playlist_id);
