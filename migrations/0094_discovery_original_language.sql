-- The original language of discovery candidates, and indexes to filter them by language, year and
-- similarity.

ALTER TABLE discovery_candidates ADD COLUMN original_language text;

CREATE INDEX idx_discovery_candidates_language
    ON discovery_candidates (user_id, media_type, original_language);
CREATE INDEX idx_discovery_candidates_year
    ON discovery_candidates (user_id, media_type, release_year);
CREATE INDEX idx_discovery_candidates_similarity
    ON discovery_candidates (user_id, media_type, similarity_score);
