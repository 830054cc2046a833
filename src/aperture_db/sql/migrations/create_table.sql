-- Purpose: Aperture's own table of applied migrations, as its runner makes it.
-- Privilege: CREATE on the schema.
-- Two runners can be here at once: the first statement lets one through, so that the sequence of
-- the second gets the name that Aperture's has, and no other with a number behind it.
CREATE TABLE aperture_migrations ();
ALTER TABLE aperture_migrations
    ADD COLUMN id serial PRIMARY KEY,
    ADD COLUMN name text UNIQUE NOT NULL,
    ADD COLUMN applied_at timestamptz DEFAULT now()
