-- Films that the last sync was asked for: those of enabled libraries, or all as long as no library
-- of films is configured. Privilege: SELECT on movies and library_config.
SELECT id
FROM movies
WHERE provider_library_id IN (
        SELECT provider_library_id
        FROM library_config
        WHERE is_enabled AND collection_type = 'movies'
    )
    OR NOT EXISTS (SELECT FROM library_config WHERE collection_type = 'movies')
