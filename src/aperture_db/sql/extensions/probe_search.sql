-- Purpose: the ten vectors nearest to the 250th, by the index or without it as the planner is told.
-- Privilege: none beyond probe_table.
SELECT id
FROM pg_temp.aperture_db_probe
ORDER BY embedding <=> (SELECT embedding FROM pg_temp.aperture_db_probe WHERE id = 250)
LIMIT 10
