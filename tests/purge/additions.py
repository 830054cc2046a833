"""What the sample library lacks and a purge has to get right."""

from __future__ import annotations

import psycopg

# Flags, marks and rows that the sample library does not have.
LIBRARY = """
UPDATE top_picks_config
SET movies_auto_request_enabled = true, series_auto_request_enabled = true;

INSERT INTO user_franchise_preferences
    (user_id, franchise_name, media_type, is_user_set, items_watched, total_engagement)
SELECT id, media || ' saga' || suffix, media, is_user_set, 3, 4
FROM (SELECT id FROM users ORDER BY username LIMIT 2) AS u
CROSS JOIN (VALUES ('both'), ('movie'), ('series')) AS f (media)
CROSS JOIN (VALUES (true, ' (own)'), (false, ''), (NULL, ' (unknown)')) AS s (is_user_set, suffix);

UPDATE user_taste_profiles SET is_locked = true
WHERE id = (
    SELECT id FROM user_taste_profiles
    WHERE media_type = 'series' AND embedding IS NOT NULL ORDER BY id LIMIT 1
);
UPDATE user_taste_profiles SET is_locked = NULL
WHERE id = (
    SELECT id FROM user_taste_profiles
    WHERE media_type = 'series' AND NOT is_locked ORDER BY id LIMIT 1
);

UPDATE channels SET example_movie_ids = NULL
WHERE id = (SELECT id FROM channels ORDER BY id LIMIT 1);

INSERT INTO embeddings_legacy (movie_id, model, embedding)
SELECT id, 'text-embedding-3-large', ('[1' || repeat(',0', 3071) || ']')::halfvec(3072)
FROM movies LIMIT 3;
INSERT INTO series_embeddings_legacy (series_id, model, embedding)
SELECT id, 'text-embedding-3-large', ('[1' || repeat(',0', 3071) || ']')::halfvec(3072)
FROM series LIMIT 3;
INSERT INTO episode_embeddings_legacy (episode_id, model, embedding)
SELECT id, 'text-embedding-3-large', ('[1' || repeat(',0', 3071) || ']')::halfvec(3072)
FROM episodes LIMIT 3;

INSERT INTO similarity_validation_cache (source_id, target_id, source_type, target_type, is_valid)
SELECT m.id, s.id, 'movie', 'series', true
FROM (SELECT id FROM movies LIMIT 2) AS m CROSS JOIN (SELECT id FROM series LIMIT 2) AS s;
INSERT INTO similarity_validation_cache (source_id, target_id, source_type, target_type, is_valid)
SELECT gen_random_uuid(), id, 'series', 'series', true FROM series LIMIT 2;

INSERT INTO discovery_requests (user_id, media_type, tmdb_id, title, discovery_candidate_id)
SELECT DISTINCT ON (media_type) user_id, media_type, tmdb_id, title, id
FROM discovery_candidates ORDER BY media_type, id;

INSERT INTO recommendation_runs (user_id, media_type, status)
SELECT id, 'series', 'running' FROM users LIMIT 1;

INSERT INTO user_ratings (user_id, series_id, rating, source)
SELECT u.id, s.id, 7, 'trakt'
FROM users AS u CROSS JOIN series AS s
WHERE u.trakt_access_token IS NULL
    AND NOT EXISTS (
        SELECT FROM user_ratings AS r WHERE r.user_id = u.id AND r.series_id = s.id
    )
LIMIT 2;

INSERT INTO user_watching_series (user_id, series_id)
SELECT u.id, s.id FROM users AS u CROSS JOIN (SELECT id FROM series LIMIT 2) AS s
WHERE NOT u.is_enabled
ON CONFLICT DO NOTHING;
"""

# Tables that an administrator made beside Aperture's, some tied to them.
OWN_TABLES = """
CREATE TABLE wishlist (id integer PRIMARY KEY, title text);
INSERT INTO wishlist SELECT n, 'wish ' || n FROM generate_series(1, 5) AS n;

CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    movie_id uuid,
    text text,
    CONSTRAINT "notes about, films" FOREIGN KEY (movie_id) REFERENCES movies (id)
        ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
COMMENT ON CONSTRAINT "notes about, films" ON notes IS 'a note''s film';
INSERT INTO notes (movie_id, text) SELECT id, 'good' FROM movies LIMIT 4;
INSERT INTO notes (text) VALUES ('about nothing');
CREATE TABLE note_tags (note_id integer NOT NULL REFERENCES notes ON DELETE CASCADE, tag text);
INSERT INTO note_tags SELECT id, 'tag' FROM notes;

CREATE TABLE plans (
    id integer PRIMARY KEY,
    movie_id uuid REFERENCES movies ON DELETE SET NULL,
    series_id uuid
);
INSERT INTO plans SELECT row_number() OVER (), id FROM movies LIMIT 3;
UPDATE plans SET series_id = (SELECT id FROM series LIMIT 1);
ALTER TABLE plans ADD CONSTRAINT plans_series FOREIGN KEY (series_id) REFERENCES series
    ON DELETE SET NULL NOT VALID;

CREATE TABLE receipts (id integer PRIMARY KEY, rating_id uuid REFERENCES user_ratings);
CREATE SCHEMA other;
CREATE TABLE other.favourites (movie_id uuid NOT NULL REFERENCES movies ON DELETE CASCADE);
INSERT INTO other.favourites SELECT id FROM movies LIMIT 2;
"""


def add_rows(conn: psycopg.Connection) -> None:
    """Add what the sample library lacks."""
    conn.execute(LIBRARY)


def add_own_tables(conn: psycopg.Connection) -> None:
    """Add an administrator's own tables."""
    conn.execute(OWN_TABLES)
