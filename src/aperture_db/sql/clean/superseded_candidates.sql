-- What superseded recommendation runs weighed. Privilege: SELECT on recommendation_candidates and
-- recommendation_runs.
SELECT {columns}
FROM recommendation_candidates AS doomed
WHERE doomed.run_id IN ({runs})
