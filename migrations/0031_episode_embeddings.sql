-- Embeddings of episodes, one per episode and model.

CREATE TABLE episode_embeddings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(3072) NOT NULL,
    canonical_text text,
    CONSTRAINT episode_embeddings_episode_model_unique UNIQUE (episode_id, model)
);
CREATE INDEX idx_episode_embeddings_embedding
    ON episode_embeddings USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);
CREATE INDEX idx_episode_embeddings_episode_id ON episode_embeddings (episode_id);
