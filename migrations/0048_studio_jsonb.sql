-- Studios become JSON objects, which have room for more than the name that each holds so far.
-- The indexes of the old arrays go with their columns.

ALTER TABLE movies ADD COLUMN studio_objects jsonb DEFAULT '[]';

UPDATE movies SET studio_objects = (
    SELECT jsonb_agg(jsonb_build_object('name', studio.name) ORDER BY studio.position)
    FROM unnest(studios) WITH ORDINALITY AS studio (name, position)
)
WHERE cardinality(studios) > 0;

ALTER TABLE movies DROP COLUMN studios;
ALTER TABLE movies RENAME COLUMN studio_objects TO studios;
CREATE INDEX idx_movies_studios_jsonb ON movies USING gin (studios);

ALTER TABLE series ADD COLUMN studio_objects jsonb DEFAULT '[]';

UPDATE series SET studio_objects = (
    SELECT jsonb_agg(jsonb_build_object('name', studio.name) ORDER BY studio.position)
    FROM unnest(studios) WITH ORDINALITY AS studio (name, position)
)
WHERE cardinality(studios) > 0;

ALTER TABLE series DROP COLUMN studios;
ALTER TABLE series RENAME COLUMN studio_objects TO studios;
CREATE INDEX idx_series_studios_jsonb ON series USING gin (studios);
