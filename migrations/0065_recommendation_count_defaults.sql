-- Twelve recommendations per user, for films and for series alike.

ALTER TABLE recommendation_config
    ALTER COLUMN movie_selected_count SET DEFAULT 12,
    ALTER COLUMN series_selected_count SET DEFAULT 12;

-- The counts in use are replaced too, whatever the administrator had chosen.
UPDATE recommendation_config
SET movie_selected_count = 12,
    series_selected_count = 12
WHERE id = 1;
