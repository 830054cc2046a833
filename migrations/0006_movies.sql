-- Films of the library, one row per item of the media server.

CREATE TABLE movies (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    provider_item_id text NOT NULL UNIQUE,
    title text NOT NULL,
    original_title text,
    year integer,
    genres text[] DEFAULT '{}',
    overview text,
    community_rating numeric(3,1),
    critic_rating numeric(3,1),
    runtime_minutes integer,
    path text,
    media_sources jsonb DEFAULT '[]',
    metadata jsonb NOT NULL DEFAULT '{}',
    poster_url text,
    backdrop_url text
);
CREATE INDEX idx_movies_genres ON movies USING gin (genres);
CREATE INDEX idx_movies_title ON movies (title);
CREATE INDEX idx_movies_year ON movies (year);
CREATE TRIGGER trigger_movies_updated_at
    BEFORE UPDATE ON movies
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
