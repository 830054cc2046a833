-- How many titles a franchise must have, and how many of them a user must have watched, to count in
-- the user's taste profile.

ALTER TABLE user_taste_profiles
    ADD COLUMN min_franchise_items integer NOT NULL DEFAULT 2,
    ADD COLUMN min_franchise_size integer NOT NULL DEFAULT 2;
