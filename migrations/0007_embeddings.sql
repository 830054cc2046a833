-- Embeddings of films, one per film and model, with the text that was embedded.

CREATE TABLE embeddings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding vector(1536) NOT NULL,
    canonical_text text,
    CONSTRAINT embeddings_movie_model_unique UNIQUE (movie_id, model)
);
CREATE INDEX idx_embeddings_embedding
    ON embeddings USING ivfflat (embedding vector_cosine_ops) WITH (lists = 100);
CREATE INDEX idx_embeddings_movie_id ON embeddings (movie_id);
