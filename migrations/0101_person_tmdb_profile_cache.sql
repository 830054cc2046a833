-- Keeps what TMDb says about a person of a given name: portrait and credits, or that nobody was
-- found.

CREATE TABLE IF NOT EXISTS person_tmdb_profile_cache (
    name_key text PRIMARY KEY,
    tmdb_person_id integer,
    profile_path text,
    not_found boolean NOT NULL DEFAULT false,
    combined_credits_json jsonb,
    combined_credits_cached_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS idx_person_tmdb_profile_cache_updated
    ON person_tmdb_profile_cache (updated_at DESC);
