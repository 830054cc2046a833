-- Film studios and TV networks with their logos, and the daily job that looks the logos up.

CREATE TABLE studios_networks (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL,
    type text NOT NULL CHECK (type IN ('studio', 'network')),
    emby_id text,
    tmdb_id integer,
    logo_path text,
    origin_country text,
    logo_local_path text,
    emby_synced_at timestamptz,
    UNIQUE (name, type)
);
CREATE INDEX idx_studios_networks_name ON studios_networks (name);
CREATE INDEX idx_studios_networks_type ON studios_networks (type);
CREATE INDEX idx_studios_networks_emby_id ON studios_networks (emby_id);
CREATE INDEX idx_studios_networks_tmdb_id ON studios_networks (tmdb_id);
CREATE INDEX idx_studios_networks_logo_path ON studios_networks (logo_path)
    WHERE logo_path IS NULL;
CREATE TRIGGER trigger_studios_networks_updated_at
    BEFORE UPDATE ON studios_networks
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

INSERT INTO system_settings (key, value)
VALUES ('studio_logos_push_to_emby', 'false')
ON CONFLICT (key) DO NOTHING;

INSERT INTO job_config (job_name, schedule_type, schedule_hour, schedule_minute, is_enabled)
VALUES ('enrich-studio-logos', 'daily', 5, 0, true)
ON CONFLICT (job_name) DO NOTHING;
