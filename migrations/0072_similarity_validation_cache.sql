-- Keeps the AI's verdict on whether two titles are really similar, so that it is asked only once.
-- The ids point at films or series, as the types say.

CREATE TABLE IF NOT EXISTS similarity_validation_cache (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    source_id uuid NOT NULL,
    target_id uuid NOT NULL,
    source_type text NOT NULL CHECK (source_type IN ('movie', 'series')),
    target_type text NOT NULL CHECK (target_type IN ('movie', 'series')),
    is_valid boolean NOT NULL,
    reason text,
    created_at timestamptz DEFAULT now(),
    UNIQUE (source_id, target_id)
);
CREATE INDEX IF NOT EXISTS idx_similarity_cache_lookup
    ON similarity_validation_cache (source_id, target_id);
CREATE INDEX IF NOT EXISTS idx_similarity_cache_reverse
    ON similarity_validation_cache (target_id, source_id);
