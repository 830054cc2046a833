-- Why superseded recommendation runs chose as they did. Privilege: SELECT on
-- recommendation_evidence, recommendation_candidates and recommendation_runs.
SELECT {columns}
FROM recommendation_evidence AS doomed
JOIN recommendation_candidates AS candidate ON candidate.id = doomed.candidate_id
WHERE candidate.run_id IN ({runs})
