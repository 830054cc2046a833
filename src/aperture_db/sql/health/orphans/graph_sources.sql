-- Playlists made from a title that is gone. The id is text. Privilege: SELECT on graph_playlists,
-- movies and series.
SELECT count(*)
FROM graph_playlists AS p
WHERE p.source_item_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM movies AS m WHERE m.id::text = p.source_item_id)
    AND NOT EXISTS (SELECT FROM series AS s WHERE s.id::text = p.source_item_id)
