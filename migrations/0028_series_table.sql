-- Series of the library, one row per item of the media server.

CREATE TABLE series (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    provider_item_id text NOT NULL UNIQUE,
    provider_library_id varchar(255),
    title text NOT NULL,
    original_title text,
    sort_title text,
    year integer,
    end_year integer,
    genres text[] DEFAULT '{}',
    overview text,
    tagline text,
    community_rating numeric(5,2),
    critic_rating numeric(5,2),
    content_rating text,
    status text,
    total_seasons integer,
    total_episodes integer,
    air_days text[] DEFAULT '{}',
    network text,
    studios text[] DEFAULT '{}',
    directors text[] DEFAULT '{}',
    writers text[] DEFAULT '{}',
    actors jsonb DEFAULT '[]',
    imdb_id text,
    tmdb_id text,
    tvdb_id text,
    tags text[] DEFAULT '{}',
    production_countries text[] DEFAULT '{}',
    awards text,
    metadata jsonb NOT NULL DEFAULT '{}',
    poster_url text,
    backdrop_url text
);
CREATE INDEX idx_series_content_rating ON series (content_rating);
CREATE INDEX idx_series_genres ON series USING gin (genres);
CREATE INDEX idx_series_imdb_id ON series (imdb_id);
CREATE INDEX idx_series_provider_library_id ON series (provider_library_id);
CREATE INDEX idx_series_studios ON series USING gin (studios);
CREATE INDEX idx_series_title ON series (title);
CREATE INDEX idx_series_tmdb_id ON series (tmdb_id);
CREATE INDEX idx_series_tvdb_id ON series (tvdb_id);
CREATE INDEX idx_series_year ON series (year);
CREATE TRIGGER trigger_series_updated_at
    BEFORE UPDATE ON series
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
