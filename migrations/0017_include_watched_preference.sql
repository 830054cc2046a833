-- Whether recommendations may contain films that the user has already watched.

ALTER TABLE user_preferences
    ADD COLUMN include_watched boolean NOT NULL DEFAULT false;
