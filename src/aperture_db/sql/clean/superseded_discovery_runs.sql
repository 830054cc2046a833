-- Discovery runs without candidates (each run replaces those of the one before) that are older
-- than the newest completed one of the same user and media type.
-- Privilege: SELECT on discovery_runs and discovery_candidates.
SELECT {columns}
FROM discovery_runs AS doomed
WHERE NOT EXISTS (SELECT FROM discovery_candidates WHERE run_id = doomed.id)
    AND (doomed.status <> 'running' OR doomed.created_at < now() - interval '1 day')
    AND EXISTS (
        SELECT
        FROM discovery_runs AS newer
        WHERE newer.user_id = doomed.user_id
            AND newer.media_type = doomed.media_type
            AND newer.status = 'completed'
            AND newer.created_at > doomed.created_at
    )
