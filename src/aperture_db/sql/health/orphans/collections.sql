-- Films whose collection has no row of its own. Privilege: SELECT on movies and collections.
SELECT count(*)
FROM movies AS m
WHERE m.collection_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM collections AS c WHERE c.tmdb_id = m.collection_id)
