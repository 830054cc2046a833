-- Purpose: whether anything is there that a sample library would mix with.
-- Privilege: SELECT on the tables.
SELECT EXISTS (SELECT FROM movies) OR EXISTS (SELECT FROM series) OR EXISTS (SELECT FROM users)
