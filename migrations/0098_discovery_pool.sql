-- A pool of discovery titles that all users share, so that details are fetched once per title and
-- not once per user.

CREATE TABLE discovery_pool (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    media_type text NOT NULL CHECK (media_type IN ('movie', 'series')),
    tmdb_id integer NOT NULL,
    imdb_id text,
    title text NOT NULL,
    original_title text,
    original_language text,
    release_year integer,
    poster_path text,
    backdrop_path text,
    overview text,
    genres jsonb DEFAULT '[]',
    vote_average numeric(4,2),
    vote_count integer,
    popularity numeric(10,2),
    cast_members jsonb,
    directors text[],
    runtime_minutes integer,
    tagline text,
    is_enriched boolean DEFAULT false,
    sources text[] NOT NULL DEFAULT '{}',
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    UNIQUE (media_type, tmdb_id)
);
CREATE INDEX idx_discovery_pool_media_type ON discovery_pool (media_type);
CREATE INDEX idx_discovery_pool_tmdb_id ON discovery_pool (tmdb_id);
CREATE INDEX idx_discovery_pool_media_tmdb ON discovery_pool (media_type, tmdb_id);
CREATE INDEX idx_discovery_pool_updated ON discovery_pool (updated_at);

ALTER TABLE discovery_candidates
    ADD COLUMN pool_id uuid REFERENCES discovery_pool (id) ON DELETE SET NULL,
    ADD COLUMN is_personalized boolean DEFAULT false;

CREATE INDEX idx_discovery_candidates_pool_id ON discovery_candidates (pool_id);
