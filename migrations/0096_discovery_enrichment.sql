-- Marks the discovery candidates whose details were fetched already.

ALTER TABLE discovery_candidates ADD COLUMN IF NOT EXISTS is_enriched boolean DEFAULT false;

-- Only where the column was there before; a new one is false everywhere.
UPDATE discovery_candidates
SET is_enriched = true
WHERE is_enriched IS NULL;

CREATE INDEX idx_discovery_enriched
    ON discovery_candidates (user_id, media_type, is_enriched, final_score DESC);
