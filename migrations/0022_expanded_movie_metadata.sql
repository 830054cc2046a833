-- More about each film: people, studios, external ids, tags, and the technical data of its file.

ALTER TABLE movies
    ADD COLUMN tagline text,
    ADD COLUMN content_rating text,
    ADD COLUMN premiere_date date,
    ADD COLUMN studios text[] DEFAULT '{}',
    ADD COLUMN directors text[] DEFAULT '{}',
    ADD COLUMN writers text[] DEFAULT '{}',
    ADD COLUMN actors jsonb DEFAULT '[]',
    ADD COLUMN imdb_id text,
    ADD COLUMN tmdb_id text,
    ADD COLUMN tags text[] DEFAULT '{}',
    ADD COLUMN sort_title text,
    ADD COLUMN production_countries text[] DEFAULT '{}',
    ADD COLUMN awards text,
    ADD COLUMN video_resolution text,
    ADD COLUMN video_codec text,
    ADD COLUMN audio_codec text,
    ADD COLUMN container text;

CREATE INDEX idx_movies_content_rating ON movies (content_rating);
CREATE INDEX idx_movies_directors ON movies USING gin (directors);
CREATE INDEX idx_movies_imdb_id ON movies (imdb_id);
CREATE INDEX idx_movies_studios ON movies USING gin (studios);
CREATE INDEX idx_movies_tmdb_id ON movies (tmdb_id);
