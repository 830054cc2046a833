-- Purpose: says that the first set-up is finished.
-- Privilege: UPDATE on setup_progress.
UPDATE setup_progress
SET completed_steps = %(steps)s::jsonb,
    current_step = NULL,
    completed_at = %(completed_at)s
