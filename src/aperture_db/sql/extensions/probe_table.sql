-- Purpose: 500 vectors that differ, to be searched and rolled back.
-- Privilege: TEMPORARY on the database.
CREATE TEMPORARY TABLE aperture_db_probe AS
SELECT
    i AS id,
    ARRAY(SELECT sin(i * j)::real FROM generate_series(1, 16) AS j)::halfvec(16) AS embedding
FROM generate_series(1, 500) AS i
