-- Keeps the paths of TMDb's posters, per language.

CREATE TABLE tmdb_poster_cache (
    media_type text NOT NULL CHECK (media_type IN ('movie', 'tv')),
    tmdb_id integer NOT NULL,
    language text NOT NULL DEFAULT 'en',
    poster_path text,
    fetched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (media_type, tmdb_id, language)
);
CREATE INDEX idx_tmdb_poster_cache_fetched_at ON tmdb_poster_cache (fetched_at DESC);
