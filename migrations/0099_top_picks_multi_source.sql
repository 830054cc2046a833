-- Top Picks may mix the watch history with one of several charts, and may ask Seerr for the titles
-- that the library lacks. The source called local so far is emby_history from now on.

ALTER TABLE top_picks_config RENAME COLUMN hybrid_mdblist_weight TO hybrid_external_weight;

ALTER TABLE top_picks_config
    ADD COLUMN movies_hybrid_external_source text DEFAULT 'tmdb_popular',
    ADD COLUMN series_hybrid_external_source text DEFAULT 'tmdb_popular',
    ADD COLUMN movies_auto_request_enabled boolean DEFAULT false,
    ADD COLUMN movies_auto_request_limit integer DEFAULT 10,
    ADD COLUMN series_auto_request_enabled boolean DEFAULT false,
    ADD COLUMN series_auto_request_limit integer DEFAULT 10,
    ADD COLUMN auto_request_cron text DEFAULT '0 0 * * 0';

UPDATE top_picks_config
SET movies_popularity_source = 'emby_history'
WHERE movies_popularity_source = 'local';

UPDATE top_picks_config
SET series_popularity_source = 'emby_history'
WHERE series_popularity_source = 'local';
