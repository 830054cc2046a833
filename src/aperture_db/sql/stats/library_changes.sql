-- When libraries of each kind were last added, or switched on or off.
-- Privilege: SELECT on library_config.
SELECT collection_type, max(updated_at) FROM library_config GROUP BY collection_type
