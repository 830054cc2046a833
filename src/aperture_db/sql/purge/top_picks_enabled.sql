-- Whether Top Picks is in use. Privilege: SELECT on top_picks_config.
SELECT count(*) FROM {table} WHERE is_enabled
