-- A user's account at Trakt, from which ratings are taken over.

ALTER TABLE users
    ADD COLUMN trakt_access_token text,
    ADD COLUMN trakt_refresh_token text,
    ADD COLUMN trakt_token_expires_at timestamptz,
    ADD COLUMN trakt_username text,
    ADD COLUMN trakt_synced_at timestamptz;

CREATE INDEX idx_users_trakt_connected ON users (id) WHERE trakt_access_token IS NOT NULL;
