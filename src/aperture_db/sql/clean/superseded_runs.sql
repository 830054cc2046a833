-- Recommendation runs older than the newest completed one of the same user (and media type), which
-- is the only one that Aperture reads. A run that may still be at work stays.
-- Privilege: SELECT on recommendation_runs.
SELECT {columns}
FROM recommendation_runs AS doomed
JOIN (
    SELECT
        id,
        count(*) FILTER (WHERE status = 'completed') OVER (
            PARTITION BY {run_of}
            ORDER BY created_at DESC, id
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS newer_completed
    FROM recommendation_runs
) AS ranked ON ranked.id = doomed.id
WHERE ranked.newer_completed >= 1
    AND (doomed.status <> 'running' OR doomed.created_at < now() - interval '1 day')
