-- Episodes of the series, one row per item of the media server.

CREATE TABLE episodes (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    provider_item_id text NOT NULL UNIQUE,
    season_number integer NOT NULL,
    episode_number integer NOT NULL,
    title text NOT NULL,
    overview text,
    premiere_date date,
    year integer,
    runtime_minutes integer,
    community_rating numeric(5,2),
    directors text[] DEFAULT '{}',
    writers text[] DEFAULT '{}',
    guest_stars jsonb DEFAULT '[]',
    path text,
    media_sources jsonb DEFAULT '[]',
    poster_url text,
    CONSTRAINT episodes_series_season_episode_unique
        UNIQUE (series_id, season_number, episode_number)
);
CREATE INDEX idx_episodes_premiere_date ON episodes (premiere_date);
CREATE INDEX idx_episodes_season ON episodes (series_id, season_number);
CREATE INDEX idx_episodes_series_id ON episodes (series_id);
CREATE TRIGGER trigger_episodes_updated_at
    BEFORE UPDATE ON episodes
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
