-- Embeddings of series, one per series and model.

CREATE TABLE series_embeddings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(3072) NOT NULL,
    canonical_text text,
    CONSTRAINT series_embeddings_series_model_unique UNIQUE (series_id, model)
);
CREATE INDEX idx_series_embeddings_embedding
    ON series_embeddings USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_series_embeddings_series_id ON series_embeddings (series_id);
