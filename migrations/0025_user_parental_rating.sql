-- Parental limits: the rating a user may see at most, and how US ratings compare by age.

CREATE TABLE IF NOT EXISTS parental_rating_values (
    id serial PRIMARY KEY,
    rating_name text NOT NULL UNIQUE,
    rating_value integer NOT NULL,
    country text DEFAULT 'US'
);
CREATE INDEX IF NOT EXISTS idx_parental_rating_values_name ON parental_rating_values (rating_name);

INSERT INTO parental_rating_values (rating_name, rating_value, country)
VALUES
    ('G', 1, 'US'),
    ('TV-Y', 1, 'US'),
    ('TV-Y7', 2, 'US'),
    ('TV-G', 3, 'US'),
    ('PG', 4, 'US'),
    ('TV-PG', 5, 'US'),
    ('PG-13', 7, 'US'),
    ('TV-14', 8, 'US'),
    ('R', 9, 'US'),
    ('TV-MA', 10, 'US'),
    ('NC-17', 11, 'US'),
    ('NR', 100, 'US'),
    ('Unrated', 100, 'US')
ON CONFLICT (rating_name) DO NOTHING;

ALTER TABLE users
    ADD COLUMN IF NOT EXISTS max_parental_rating integer;
