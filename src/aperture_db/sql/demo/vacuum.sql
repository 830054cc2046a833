-- Purpose: leaves no table without statistics, as autovacuum would in time.
-- Privilege: owner of the tables.
VACUUM (ANALYZE)
