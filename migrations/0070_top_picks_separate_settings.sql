-- Top Picks for films and for series get settings of their own. Series start with the values
-- that were shared until now.

ALTER TABLE top_picks_config RENAME COLUMN popularity_source TO movies_popularity_source;
ALTER TABLE top_picks_config RENAME COLUMN min_unique_viewers TO movies_min_unique_viewers;
ALTER TABLE top_picks_config RENAME COLUMN time_window_days TO movies_time_window_days;

ALTER TABLE top_picks_config
    ADD COLUMN movies_use_all_matches boolean NOT NULL DEFAULT false,
    ADD COLUMN series_popularity_source text NOT NULL DEFAULT 'local',
    ADD COLUMN series_min_unique_viewers integer NOT NULL DEFAULT 1,
    ADD COLUMN series_time_window_days integer NOT NULL DEFAULT 30,
    ADD COLUMN series_use_all_matches boolean NOT NULL DEFAULT false;

UPDATE top_picks_config
SET series_popularity_source = movies_popularity_source,
    series_min_unique_viewers = movies_min_unique_viewers,
    series_time_window_days = movies_time_window_days
WHERE id = 1;
