-- Purpose: writes everything that is changed in memory to the files.
-- Privilege: pg_checkpoint.
CHECKPOINT
