-- Pictures of libraries and playlists that are gone. Fixed names, such as ai-recs-movies, stay
-- valid; pictures of collections belong to the media server's, which the database does not list.
-- Privilege: SELECT on media_images, library_config, strm_libraries, playlists, graph_playlists,
-- channels and channel_shares.
SELECT count(*)
FROM media_images AS i
WHERE i.entity_id !~ '^[a-z]+(-[a-z]+)+$'
    AND (
        i.entity_type = 'library'
        AND NOT EXISTS (
            SELECT FROM library_config WHERE provider_library_id = i.entity_id
            UNION ALL
            SELECT FROM strm_libraries WHERE provider_library_id = i.entity_id
        )
        OR i.entity_type = 'playlist'
        AND NOT EXISTS (
            SELECT FROM playlists WHERE provider_playlist_id = i.entity_id
            UNION ALL
            SELECT FROM graph_playlists WHERE media_server_playlist_id = i.entity_id
            UNION ALL
            SELECT FROM channels WHERE playlist_id = i.entity_id
            UNION ALL
            SELECT FROM channel_shares WHERE viewer_playlist_id = i.entity_id
        )
    )
