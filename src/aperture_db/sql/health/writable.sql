-- Whether Aperture could write here: a standby, or read-only by a setting and where that was made.
-- Privilege: none.
SELECT
    pg_is_in_recovery() AS is_standby,
    s.setting = 'on' AS is_read_only,
    s.source,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
        AS replayed_seconds_ago
FROM pg_settings AS s
WHERE s.name = 'default_transaction_read_only'
