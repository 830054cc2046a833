-- Recommendations of films and of series are enabled separately for each user.

ALTER TABLE users
    ADD COLUMN movies_enabled boolean NOT NULL DEFAULT false,
    ADD COLUMN series_enabled boolean NOT NULL DEFAULT false;

-- Until now an enabled user got films only.
UPDATE users SET movies_enabled = is_enabled;

CREATE INDEX idx_users_movies_enabled ON users (movies_enabled) WHERE movies_enabled = true;
CREATE INDEX idx_users_series_enabled ON users (series_enabled) WHERE series_enabled = true;
