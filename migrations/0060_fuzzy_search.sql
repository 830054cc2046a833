-- Search over films and series that forgives typing errors, and full-text search in which a title
-- weighs most, then collection or network, genres and keywords, then people, then the overview.

CREATE EXTENSION IF NOT EXISTS pg_trgm;

-- The order of the parts fixes the positions of words in the vector, hence the ranking of phrases.
CREATE OR REPLACE FUNCTION movies_search_vector(
    p_title text,
    p_original_title text,
    p_overview text,
    p_genres text[],
    p_directors text[],
    p_writers text[],
    p_actors jsonb,
    p_keywords text[],
    p_collection_name text
)
RETURNS tsvector
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    actor_names text := (
        SELECT string_agg(actor.value ->> 'name', ' ' ORDER BY actor.position)
        FROM jsonb_array_elements(p_actors) WITH ORDINALITY AS actor (value, position)
    );
BEGIN
    RETURN
        setweight(to_tsvector('english', COALESCE(p_title, '')), 'A')
        || setweight(to_tsvector('english', COALESCE(p_original_title, '')), 'A')
        || setweight(to_tsvector('english', COALESCE(p_collection_name, '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_genres, ' '), '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_keywords, ' '), '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_directors, ' '), '')), 'C')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_writers, ' '), '')), 'C')
        || setweight(to_tsvector('english', COALESCE(actor_names, '')), 'C')
        || setweight(to_tsvector('english', COALESCE(p_overview, '')), 'D');
END;
$$;

CREATE OR REPLACE FUNCTION series_search_vector(
    p_title text,
    p_original_title text,
    p_overview text,
    p_genres text[],
    p_network text,
    p_directors text[],
    p_writers text[],
    p_actors jsonb,
    p_keywords text[]
)
RETURNS tsvector
LANGUAGE plpgsql
IMMUTABLE
AS $$
DECLARE
    actor_names text := (
        SELECT string_agg(actor.value ->> 'name', ' ' ORDER BY actor.position)
        FROM jsonb_array_elements(p_actors) WITH ORDINALITY AS actor (value, position)
    );
BEGIN
    RETURN
        setweight(to_tsvector('english', COALESCE(p_title, '')), 'A')
        || setweight(to_tsvector('english', COALESCE(p_original_title, '')), 'A')
        || setweight(to_tsvector('english', COALESCE(p_network, '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_genres, ' '), '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_keywords, ' '), '')), 'B')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_directors, ' '), '')), 'C')
        || setweight(to_tsvector('english', COALESCE(array_to_string(p_writers, ' '), '')), 'C')
        || setweight(to_tsvector('english', COALESCE(actor_names, '')), 'C')
        || setweight(to_tsvector('english', COALESCE(p_overview, '')), 'D');
END;
$$;

CREATE OR REPLACE FUNCTION update_movies_search_vector()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.search_vector := movies_search_vector(
        NEW.title,
        NEW.original_title,
        NEW.overview,
        NEW.genres,
        NEW.directors,
        NEW.writers,
        NEW.actors,
        NEW.keywords,
        NEW.collection_name
    );
    RETURN NEW;
END;
$$;

CREATE OR REPLACE FUNCTION update_series_search_vector()
RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    NEW.search_vector := series_search_vector(
        NEW.title,
        NEW.original_title,
        NEW.overview,
        NEW.genres,
        NEW.network,
        NEW.directors,
        NEW.writers,
        NEW.actors,
        NEW.keywords
    );
    RETURN NEW;
END;
$$;

ALTER TABLE movies
    ADD COLUMN search_vector tsvector;

UPDATE movies SET search_vector = movies_search_vector(
    title,
    original_title,
    overview,
    genres,
    directors,
    writers,
    actors,
    keywords,
    collection_name
);

CREATE INDEX idx_movies_search_vector ON movies USING gin (search_vector);
CREATE INDEX idx_movies_title_trgm ON movies USING gin (title gin_trgm_ops);
CREATE INDEX idx_movies_original_title_trgm ON movies USING gin (original_title gin_trgm_ops);
DROP TRIGGER IF EXISTS trigger_movies_search_vector ON movies;
CREATE TRIGGER trigger_movies_search_vector
    BEFORE INSERT OR UPDATE ON movies
    FOR EACH ROW EXECUTE FUNCTION update_movies_search_vector();

ALTER TABLE series
    ADD COLUMN search_vector tsvector;

UPDATE series SET search_vector = series_search_vector(
    title,
    original_title,
    overview,
    genres,
    network,
    directors,
    writers,
    actors,
    keywords
);

CREATE INDEX idx_series_search_vector ON series USING gin (search_vector);
CREATE INDEX idx_series_title_trgm ON series USING gin (title gin_trgm_ops);
CREATE INDEX idx_series_original_title_trgm ON series USING gin (original_title gin_trgm_ops);
DROP TRIGGER IF EXISTS trigger_series_search_vector ON series;
CREATE TRIGGER trigger_series_search_vector
    BEFORE INSERT OR UPDATE ON series
    FOR EACH ROW EXECUTE FUNCTION update_series_search_vector();
