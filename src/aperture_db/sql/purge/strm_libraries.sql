-- The virtual libraries that Aperture made on the media server.
-- Privilege: SELECT on strm_libraries.
SELECT name, path FROM {table} ORDER BY name, path
