-- Whether requests are for users with a Jellyseerr account of their own only: not at first.

INSERT INTO system_settings (key, value, description)
VALUES (
    'jellyseerr_require_user_mapping',
    'false',
    'Only users with an account of their own may make requests'
)
ON CONFLICT (key) DO NOTHING;
