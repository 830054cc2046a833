-- The dimension that an administrator entered for an embedding model of one's own.
-- Privilege: SELECT on custom_ai_models.
SELECT embedding_dimensions
FROM custom_ai_models
WHERE provider = %(provider)s
    AND function_type = 'embeddings'
    AND model_id = %(model)s
    AND embedding_dimensions IS NOT NULL
