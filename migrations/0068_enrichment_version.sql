-- Numbers the generations of enrichment, so that films and series enriched by an older one
-- are found and enriched again. What is enriched already counts as the current generation, 3.

INSERT INTO system_settings (key, value, description)
VALUES ('enrichment_version', '3', 'Generation of metadata enrichment that items should have')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value;

ALTER TABLE movies ADD COLUMN enrichment_version integer DEFAULT 0;

CREATE INDEX idx_movies_enrichment_version ON movies (enrichment_version);

ALTER TABLE series ADD COLUMN enrichment_version integer DEFAULT 0;

CREATE INDEX idx_series_enrichment_version ON series (enrichment_version);

UPDATE movies
SET enrichment_version = 3
WHERE enriched_at IS NOT NULL
  AND enrichment_version = 0;

UPDATE series
SET enrichment_version = 3
WHERE enriched_at IS NOT NULL
  AND enrichment_version = 0;
