-- Where database backups go, how many are kept and which was the last one (a single row),
-- and the daily backup job.

CREATE TABLE IF NOT EXISTS backup_config (
    id integer PRIMARY KEY DEFAULT 1,
    backup_path text NOT NULL DEFAULT '/backups',
    retention_count integer NOT NULL DEFAULT 7,
    last_backup_at timestamptz,
    last_backup_filename text,
    last_backup_size_bytes bigint,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now(),
    CONSTRAINT backup_config_retention_check
        CHECK (retention_count >= 1 AND retention_count <= 100),
    CONSTRAINT backup_config_single_row CHECK (id = 1)
);
CREATE TRIGGER backup_config_updated_at
    BEFORE UPDATE ON backup_config
    FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();

INSERT INTO backup_config (id, backup_path, retention_count)
VALUES (1, '/backups', 7)
ON CONFLICT (id) DO NOTHING;

INSERT INTO job_config (job_name, schedule_type, schedule_hour, schedule_minute, is_enabled)
VALUES ('backup-database', 'daily', 2, 0, true)
ON CONFLICT (job_name) DO NOTHING;
