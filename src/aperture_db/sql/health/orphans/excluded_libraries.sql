-- Libraries that users exclude and that are not configured any more.
-- Privilege: SELECT on user_preferences and library_config.
SELECT count(*)
FROM user_preferences AS p,
    jsonb_array_elements_text(
        CASE jsonb_typeof(p.settings -> 'excludedLibraryIds')
            WHEN 'array' THEN p.settings -> 'excludedLibraryIds'
            ELSE '[]'
        END
    ) AS excluded (id)
WHERE EXISTS (SELECT FROM library_config)
    AND NOT EXISTS (SELECT FROM library_config AS l WHERE l.provider_library_id = excluded.id)
