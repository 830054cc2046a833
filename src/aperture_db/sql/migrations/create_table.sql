-- Purpose: Aperture's own table of applied migrations, as its runner makes it.
-- Privilege: CREATE on the schema.
CREATE TABLE IF NOT EXISTS aperture_migrations (
    id serial PRIMARY KEY,
    name text UNIQUE NOT NULL,
    applied_at timestamptz DEFAULT now()
)
