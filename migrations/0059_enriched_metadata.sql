-- Collections of films, and what TMDb and OMDb add: keywords, crew, scores and awards.

CREATE TABLE IF NOT EXISTS collections (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    tmdb_id text NOT NULL UNIQUE,
    name text NOT NULL,
    overview text,
    poster_url text,
    backdrop_url text,
    movie_count integer DEFAULT 0,
    enriched_at timestamptz
);
CREATE INDEX IF NOT EXISTS idx_collections_name ON collections (name);
CREATE INDEX IF NOT EXISTS idx_collections_tmdb_id ON collections (tmdb_id);
DROP TRIGGER IF EXISTS trigger_collections_updated_at ON collections;
CREATE TRIGGER trigger_collections_updated_at
    BEFORE UPDATE ON collections
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

ALTER TABLE movies
    ADD COLUMN IF NOT EXISTS keywords text[] DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS collection_id text,
    ADD COLUMN IF NOT EXISTS collection_name text,
    ADD COLUMN IF NOT EXISTS rt_critic_score integer,
    ADD COLUMN IF NOT EXISTS rt_audience_score integer,
    ADD COLUMN IF NOT EXISTS rt_consensus text,
    ADD COLUMN IF NOT EXISTS metacritic_score integer,
    ADD COLUMN IF NOT EXISTS awards_summary text,
    ADD COLUMN IF NOT EXISTS cinematographers text[] DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS composers text[] DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS editors text[] DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS enriched_at timestamptz;

ALTER TABLE series
    ADD COLUMN IF NOT EXISTS keywords text[] DEFAULT '{}',
    ADD COLUMN IF NOT EXISTS rt_critic_score integer,
    ADD COLUMN IF NOT EXISTS rt_audience_score integer,
    ADD COLUMN IF NOT EXISTS rt_consensus text,
    ADD COLUMN IF NOT EXISTS metacritic_score integer,
    ADD COLUMN IF NOT EXISTS awards_summary text,
    ADD COLUMN IF NOT EXISTS enriched_at timestamptz;

CREATE INDEX IF NOT EXISTS idx_movies_cinematographers ON movies USING gin (cinematographers);
CREATE INDEX IF NOT EXISTS idx_movies_collection_id ON movies (collection_id);
CREATE INDEX IF NOT EXISTS idx_movies_collection_name ON movies (collection_name);
CREATE INDEX IF NOT EXISTS idx_movies_composers ON movies USING gin (composers);
CREATE INDEX IF NOT EXISTS idx_movies_enriched_at ON movies (enriched_at);
CREATE INDEX IF NOT EXISTS idx_movies_keywords ON movies USING gin (keywords);
CREATE INDEX IF NOT EXISTS idx_movies_metacritic_score ON movies (metacritic_score);
CREATE INDEX IF NOT EXISTS idx_movies_rt_critic_score ON movies (rt_critic_score);
CREATE INDEX IF NOT EXISTS idx_series_enriched_at ON series (enriched_at);
CREATE INDEX IF NOT EXISTS idx_series_keywords ON series USING gin (keywords);
CREATE INDEX IF NOT EXISTS idx_series_metacritic_score ON series (metacritic_score);
CREATE INDEX IF NOT EXISTS idx_series_rt_critic_score ON series (rt_critic_score);
