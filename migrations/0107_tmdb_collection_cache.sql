-- Keeps TMDb's collections with the films that belong to them.

CREATE TABLE tmdb_collection_cache (
    collection_id integer PRIMARY KEY,
    name text NOT NULL,
    overview text,
    poster_path text,
    backdrop_path text,
    parts_json jsonb NOT NULL DEFAULT '[]',
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_tmdb_collection_cache_updated_at ON tmdb_collection_cache (updated_at DESC);
