-- The ratings that go, by names and ids that outlive a purge. Privilege: SELECT on the tables.
COPY (
    SELECT
        u.username,
        r.rating,
        r.source,
        CASE WHEN r.movie_id IS NULL THEN 'series' ELSE 'movie' END AS media_type,
        coalesce(m.title, s.title) AS title,
        coalesce(m.year, s.year) AS year,
        coalesce(m.imdb_id, s.imdb_id) AS imdb_id,
        coalesce(m.tmdb_id, s.tmdb_id) AS tmdb_id,
        s.tvdb_id,
        coalesce(m.provider_item_id, s.provider_item_id) AS provider_item_id,
        r.created_at
    FROM (SELECT * FROM {ratings} WHERE {going}) AS r
    JOIN users AS u ON u.id = r.user_id
    LEFT JOIN movies AS m ON m.id = r.movie_id
    LEFT JOIN series AS s ON s.id = r.series_id
    ORDER BY u.username, media_type, title
) TO STDOUT WITH (FORMAT csv, HEADER)
