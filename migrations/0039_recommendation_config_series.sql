-- How many series are recommended, and how many watched ones count.

ALTER TABLE recommendation_config
    ADD COLUMN series_selected_count integer NOT NULL DEFAULT 12,
    ADD COLUMN series_recent_watch_limit integer NOT NULL DEFAULT 100;
