-- Purpose: statistics on slow statements, so that every health check has something to look at.
-- Privilege: superuser.
CREATE EXTENSION IF NOT EXISTS pg_stat_statements
