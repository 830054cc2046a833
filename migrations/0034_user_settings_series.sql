-- The name of a user's own library of recommended series.

ALTER TABLE user_settings
    ADD COLUMN series_library_name text;
