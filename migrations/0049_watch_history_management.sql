-- Whether a user may change their own watch history in Aperture.

ALTER TABLE users
    ADD COLUMN can_manage_watch_history boolean NOT NULL DEFAULT false;
