-- Embeddings of 4096 dimensions, as larger models make them, and the dimension of custom models.
-- HNSW takes halfvec only up to 4000 dimensions, so the indexes hold the signs of the vectors: a
-- search finds candidates by Hamming distance and ranks them by the full vectors.

ALTER TABLE custom_ai_models ADD COLUMN embedding_dimensions integer;

CREATE TABLE IF NOT EXISTS embeddings_4096 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(4096) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_4096_movie_id
    ON embeddings_4096 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_4096_bq_hnsw
    ON embeddings_4096 USING hnsw ((binary_quantize(embedding)::bit(4096)) bit_hamming_ops);

CREATE TABLE IF NOT EXISTS series_embeddings_4096 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(4096) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_4096_series_id
    ON series_embeddings_4096 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_4096_bq_hnsw
    ON series_embeddings_4096 USING hnsw ((binary_quantize(embedding)::bit(4096)) bit_hamming_ops);

CREATE TABLE IF NOT EXISTS episode_embeddings_4096 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(4096) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_4096_episode_id
    ON episode_embeddings_4096 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_4096_bq_hnsw
    ON episode_embeddings_4096 USING hnsw ((binary_quantize(embedding)::bit(4096)) bit_hamming_ops);

DO $$
BEGIN
    RAISE NOTICE 'Embeddings of 4096 dimensions can be stored';
END
$$;
