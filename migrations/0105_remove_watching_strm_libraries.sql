-- The series that a user is watching are favourites on the media server, no virtual library.
-- Aperture forgets such libraries; files and libraries on the media server stay.

DELETE FROM strm_libraries WHERE library_type = 'watching';

DELETE FROM system_settings WHERE key = 'watching_library_use_symlinks';
