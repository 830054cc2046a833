-- Series of a library that is not configured any more. As long as none is configured, all count.
-- Privilege: SELECT on series and library_config.
SELECT count(*)
FROM series AS s
WHERE s.provider_library_id IS NOT NULL
    AND EXISTS (SELECT FROM library_config)
    AND NOT EXISTS (
        SELECT FROM library_config AS l WHERE l.provider_library_id = s.provider_library_id
    )
