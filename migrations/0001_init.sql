-- The record of applied migrations; the runner makes the same table before it looks at the files.

CREATE TABLE IF NOT EXISTS aperture_migrations (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    applied_at timestamptz DEFAULT now()
);
