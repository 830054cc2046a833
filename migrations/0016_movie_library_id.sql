-- The library that a film belongs to, by the id that the media server gives it.

ALTER TABLE movies
    ADD COLUMN provider_library_id varchar(255);

CREATE INDEX idx_movies_provider_library_id ON movies (provider_library_id);
