-- Fills in the language of discovery candidates that the library knows under the same TMDb id:
-- the first of its languages, as a name such as English rather than a code.

UPDATE discovery_candidates
SET original_language = movies.languages[1]
FROM movies
WHERE discovery_candidates.media_type = 'movie'
  AND discovery_candidates.original_language IS NULL
  AND movies.tmdb_id = discovery_candidates.tmdb_id::text
  AND cardinality(movies.languages) > 0;

UPDATE discovery_candidates
SET original_language = series.languages[1]
FROM series
WHERE discovery_candidates.media_type = 'series'
  AND discovery_candidates.original_language IS NULL
  AND series.tmdb_id = discovery_candidates.tmdb_id::text
  AND cardinality(series.languages) > 0;
