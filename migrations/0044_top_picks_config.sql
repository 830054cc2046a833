-- Top Picks, the films and series most watched by all users: a single row of settings.
-- Each user also gets marks of how far the watch history is synced.

CREATE TABLE IF NOT EXISTS top_picks_config (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    is_enabled boolean DEFAULT false,
    time_window_days integer DEFAULT 30,
    movies_count integer DEFAULT 10,
    series_count integer DEFAULT 10,
    unique_viewers_weight numeric(3,2) DEFAULT 0.50,
    play_count_weight numeric(3,2) DEFAULT 0.30,
    completion_weight numeric(3,2) DEFAULT 0.20,
    refresh_cron text DEFAULT '0 6 * * *',
    last_refreshed_at timestamptz,
    movies_library_name text DEFAULT 'Top Picks - Movies',
    series_library_name text DEFAULT 'Top Picks - Series',
    min_unique_viewers integer DEFAULT 2,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now()
);

INSERT INTO top_picks_config (id) VALUES (1)
ON CONFLICT (id) DO NOTHING;

ALTER TABLE users
    ADD COLUMN IF NOT EXISTS watch_history_synced_at timestamptz,
    ADD COLUMN IF NOT EXISTS series_watch_history_synced_at timestamptz;
