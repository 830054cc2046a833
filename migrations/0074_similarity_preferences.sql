-- Lets users choose what the similarity graph shows: whole franchises, and titles already watched.

ALTER TABLE user_preferences
    ADD COLUMN similarity_full_franchise boolean DEFAULT false,
    ADD COLUMN similarity_hide_watched boolean DEFAULT true;
