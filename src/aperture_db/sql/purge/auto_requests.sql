-- Which media types Top Picks requests from Seerr by itself.
-- Privilege: SELECT on top_picks_config.
SELECT movies_auto_request_enabled IS TRUE, series_auto_request_enabled IS TRUE FROM {table}
