-- Films of a library that is not configured any more. As long as none is configured, all count.
-- Privilege: SELECT on movies and library_config.
SELECT count(*)
FROM movies AS m
WHERE m.provider_library_id IS NOT NULL
    AND EXISTS (SELECT FROM library_config)
    AND NOT EXISTS (
        SELECT FROM library_config AS l WHERE l.provider_library_id = m.provider_library_id
    )
