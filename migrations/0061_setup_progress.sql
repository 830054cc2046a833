-- Remembers how far the setup wizard has come, so that it resumes where the administrator left it.

CREATE TABLE IF NOT EXISTS setup_progress (
    id integer PRIMARY KEY DEFAULT 1,
    completed_steps jsonb NOT NULL DEFAULT '[]',
    current_step text,
    completed_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO setup_progress (id)
VALUES (1)
ON CONFLICT (id) DO NOTHING;

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgname = 'trigger_setup_progress_updated_at'
    ) THEN
        CREATE TRIGGER trigger_setup_progress_updated_at
            BEFORE UPDATE ON setup_progress
            FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
    END IF;
END
$$;
