-- Jellyseerr is called Seerr now: so are the columns and settings that name it. Columns that have
-- the new name already stay as they are.

DO $$
BEGIN
    IF EXISTS (
        SELECT FROM information_schema.columns
        WHERE table_schema = 'public'
          AND table_name = 'users'
          AND column_name = 'jellyseerr_user_id'
    ) THEN
        DROP INDEX IF EXISTS idx_users_jellyseerr_user_id_unique;
        ALTER TABLE users RENAME COLUMN jellyseerr_user_id TO seerr_user_id;
        CREATE UNIQUE INDEX IF NOT EXISTS idx_users_seerr_user_id_unique ON users (seerr_user_id)
            WHERE seerr_user_id IS NOT NULL;
    END IF;

    IF EXISTS (
        SELECT FROM information_schema.columns
        WHERE table_schema = 'public'
          AND table_name = 'discovery_requests'
          AND column_name = 'jellyseerr_request_id'
    ) THEN
        ALTER TABLE discovery_requests RENAME COLUMN jellyseerr_request_id TO seerr_request_id;
    END IF;

    IF EXISTS (
        SELECT FROM information_schema.columns
        WHERE table_schema = 'public'
          AND table_name = 'discovery_requests'
          AND column_name = 'jellyseerr_media_id'
    ) THEN
        ALTER TABLE discovery_requests RENAME COLUMN jellyseerr_media_id TO seerr_media_id;
    END IF;
END
$$;

UPDATE system_settings
SET key = replace(key, 'jellyseerr_', 'seerr_')
WHERE key IN (
    'jellyseerr_url',
    'jellyseerr_api_key',
    'jellyseerr_enabled',
    'jellyseerr_require_user_mapping'
);
