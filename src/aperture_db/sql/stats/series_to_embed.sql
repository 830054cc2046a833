-- Series that need an embedding: those of enabled libraries, or all as long as no library of
-- series is enabled. Privilege: SELECT on series and library_config.
SELECT id
FROM series
WHERE provider_library_id IN (
        SELECT provider_library_id
        FROM library_config
        WHERE is_enabled AND collection_type = 'tvshows'
    )
    OR NOT EXISTS (
        SELECT FROM library_config WHERE is_enabled AND collection_type = 'tvshows'
    )
