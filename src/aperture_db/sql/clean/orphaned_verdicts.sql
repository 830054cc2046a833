-- Cached verdicts on pairs of titles of which one is gone. Ids are made anew by every sync, so
-- none of these can ever be asked for again.
-- Privilege: SELECT on similarity_validation_cache, movies and series.
SELECT {columns}
FROM similarity_validation_cache AS doomed
WHERE NOT EXISTS (
        SELECT FROM movies WHERE id = doomed.source_id AND doomed.source_type = 'movie'
        UNION ALL
        SELECT FROM series WHERE id = doomed.source_id AND doomed.source_type = 'series'
    )
    OR NOT EXISTS (
        SELECT FROM movies WHERE id = doomed.target_id AND doomed.target_type = 'movie'
        UNION ALL
        SELECT FROM series WHERE id = doomed.target_id AND doomed.target_type = 'series'
    )
