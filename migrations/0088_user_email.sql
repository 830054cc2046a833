-- Users' e-mail addresses, whether they are locked, and whether users want notifications.

ALTER TABLE users
    ADD COLUMN email text,
    ADD COLUMN email_locked boolean NOT NULL DEFAULT false,
    ADD COLUMN email_notifications_enabled boolean NOT NULL DEFAULT true;

CREATE INDEX idx_users_email_notifications ON users (email)
    WHERE email IS NOT NULL AND email_notifications_enabled = true;
