-- Example films of channels that are gone; Aperture skips them.
-- Privilege: SELECT on channels and movies.
SELECT count(*)
FROM channels AS c, unnest(c.example_movie_ids) AS example (id)
WHERE NOT EXISTS (SELECT FROM movies WHERE movies.id = example.id)
