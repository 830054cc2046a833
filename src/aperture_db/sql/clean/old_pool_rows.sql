-- Titles of the discovery pool that were not refreshed for a long time and that no suggestion
-- refers to. Privilege: SELECT on discovery_pool and discovery_candidates.
SELECT {columns}
FROM discovery_pool AS doomed
WHERE doomed.updated_at < now() - make_interval(secs => %(cache_age_seconds)s)
    AND NOT EXISTS (SELECT FROM discovery_candidates WHERE pool_id = doomed.id)
