-- name: settings
-- Settings that decide about speed and safety, as SHOW prints them. Privilege: none.
SELECT
    name,
    current_setting(name) AS value,
    source NOT IN ('default', 'override') AS is_changed
FROM pg_settings
WHERE name = ANY(%(names)s)
ORDER BY array_position(%(names)s, name)

-- name: last_backup
-- The last backup that Aperture or this tool recorded. Privilege: SELECT on backup_config.
SELECT last_backup_at AS made_at, last_backup_size_bytes AS size_bytes
FROM {schema}.backup_config
WHERE id = 1 AND last_backup_at IS NOT NULL

-- name: last_own_backup
-- The last backup that was made outside the directory of backup_config.
-- Privilege: SELECT on aperture_db.backups.
SELECT made_at, size_bytes FROM aperture_db.backups ORDER BY made_at DESC LIMIT 1

-- name: last_drill
-- The last restore drill. Privilege: SELECT on aperture_db.drills.
SELECT drilled_at, failure IS NULL AS has_passed, duration_seconds
FROM aperture_db.drills
ORDER BY drilled_at DESC
LIMIT 1

-- name: own_backup_names
-- The same about backups elsewhere and drills. Privilege: SELECT on both tables.
SELECT 'path', directory FROM aperture_db.backups
UNION SELECT 'file', file_name FROM aperture_db.backups
UNION SELECT 'path', directory FROM aperture_db.drills
UNION SELECT 'file', file_name FROM aperture_db.drills

-- name: backup_names
-- What backup_config says about the place of backups. Privilege: SELECT on backup_config.
SELECT kind, word
FROM {schema}.backup_config,
    LATERAL (VALUES ('path', backup_path), ('file', last_backup_filename)) AS named (kind, word)
WHERE word <> ''

-- name: private_words
-- Names that tell whose server this is: of roles, databases, tablespaces, other clients and
-- prepared transactions. What the role may not see can't be quoted by a check either.
-- Privilege: none.
SELECT 'role' AS kind, rolname::text AS word FROM pg_roles WHERE rolname !~ '^pg_'
UNION SELECT 'database', datname FROM pg_database WHERE NOT datistemplate
UNION SELECT 'tablespace', spcname FROM pg_tablespace WHERE spcname !~ '^pg_'
UNION SELECT 'application', application_name FROM pg_stat_activity WHERE application_name <> ''
UNION SELECT 'host', client_hostname FROM pg_stat_activity WHERE client_hostname <> ''
UNION SELECT 'address', host(client_addr) FROM pg_stat_activity WHERE client_addr IS NOT NULL
UNION SELECT 'address', host(inet_server_addr()) WHERE inet_server_addr() IS NOT NULL
UNION SELECT 'name', current_setting('cluster_name') WHERE current_setting('cluster_name') <> ''
UNION SELECT 'slot', slot_name FROM pg_replication_slots
UNION SELECT 'transaction', gid FROM pg_prepared_xacts
