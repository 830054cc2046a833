-- Purpose: turns Top Picks on.
-- Privilege: UPDATE on top_picks_config.
UPDATE top_picks_config
SET is_enabled = true,
    last_refreshed_at = %(refreshed_at)s
