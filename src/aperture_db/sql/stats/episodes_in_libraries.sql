-- Episodes of the series that the last sync was asked for.
-- Privilege: SELECT on episodes, series and library_config.
SELECT id
FROM episodes
WHERE series_id IN ({series})
