-- Film and taste embeddings come from text-embedding-3-large: 3072 dimensions, stored as halfvec.
-- All that were made so far are dropped; the jobs compute them again.

DELETE FROM embeddings;

DROP INDEX IF EXISTS idx_embeddings_embedding;
ALTER TABLE embeddings DROP COLUMN embedding;
ALTER TABLE embeddings ADD COLUMN embedding halfvec(3072) NOT NULL;
CREATE INDEX idx_embeddings_embedding
    ON embeddings USING hnsw (embedding halfvec_cosine_ops) WITH (m = 16, ef_construction = 64);

UPDATE user_preferences SET taste_embedding = NULL, taste_embedding_updated_at = NULL;
ALTER TABLE user_preferences DROP COLUMN taste_embedding;
ALTER TABLE user_preferences ADD COLUMN taste_embedding halfvec(3072);

-- A smaller model that an admin had chosen would no longer fit the columns.
INSERT INTO system_settings (key, value, description)
VALUES ('embedding_model', 'text-embedding-3-large', 'OpenAI model that makes the embeddings')
ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = now();
