-- Titles chosen by the newest completed run of each user (and media type): what users see.
-- Runs of films never set completed_at. Privilege: SELECT on recommendation_runs and _candidates.
SELECT 'recommendations_shown' AS source, NULL::text AS detail, count(*) AS rows
FROM recommendation_candidates
WHERE is_selected AND run_id IN (
    SELECT DISTINCT ON ({run_of}) id
    FROM recommendation_runs
    WHERE status = 'completed'
    ORDER BY {run_of}, created_at DESC
)
