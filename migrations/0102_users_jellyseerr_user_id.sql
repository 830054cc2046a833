-- The Jellyseerr account in whose name a user's requests are made; at most one user per account.

ALTER TABLE users ADD COLUMN jellyseerr_user_id integer;

CREATE UNIQUE INDEX idx_users_jellyseerr_user_id_unique ON users (jellyseerr_user_id)
    WHERE jellyseerr_user_id IS NOT NULL;
