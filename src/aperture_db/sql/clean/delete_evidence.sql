-- The evidence of recommendation runs. Privilege: SELECT and DELETE on recommendation_evidence,
-- SELECT on recommendation_candidates.
DELETE FROM recommendation_evidence
WHERE candidate_id IN (SELECT id FROM recommendation_candidates WHERE run_id = ANY (%(runs)s))
