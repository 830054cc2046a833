-- Accounts of the Emby or Jellyfin server; only enabled ones get recommendations.

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    provider text NOT NULL CHECK (provider IN ('emby', 'jellyfin')),
    provider_user_id text NOT NULL,
    username text NOT NULL,
    display_name text,
    is_admin boolean NOT NULL DEFAULT false,
    is_enabled boolean NOT NULL DEFAULT false,
    provider_access_token text,
    CONSTRAINT users_provider_user_id_unique UNIQUE (provider, provider_user_id)
);
CREATE INDEX idx_users_is_enabled ON users (is_enabled) WHERE is_enabled = true;
CREATE INDEX idx_users_provider ON users (provider);
CREATE INDEX idx_users_username ON users (username);
