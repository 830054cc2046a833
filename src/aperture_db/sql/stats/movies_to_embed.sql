-- Films that the job makes embeddings for: those of enabled libraries, or all as long as no
-- library is configured. Privilege: SELECT on movies and library_config.
SELECT id
FROM movies
WHERE provider_library_id IN (SELECT provider_library_id FROM library_config WHERE is_enabled)
    OR NOT EXISTS (SELECT FROM library_config)
