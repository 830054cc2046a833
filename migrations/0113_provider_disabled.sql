-- Marks users who are disabled on the media server.

ALTER TABLE users ADD COLUMN provider_disabled boolean NOT NULL DEFAULT false;
