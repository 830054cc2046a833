-- Taste profiles and custom interests may have embeddings of whichever model is in use.

ALTER TABLE user_taste_profiles ALTER COLUMN embedding TYPE halfvec;
ALTER TABLE user_custom_interests ALTER COLUMN embedding TYPE halfvec;

-- Existing embeddings are cleared, so that Aperture computes them with the model in use.
DO $$
DECLARE
    cleared bigint;
BEGIN
    UPDATE user_taste_profiles
    SET embedding = NULL,
        embedding_model = NULL,
        auto_updated_at = NULL
    WHERE embedding IS NOT NULL;
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RAISE NOTICE 'Embeddings of % taste profiles cleared', cleared;

    UPDATE user_custom_interests
    SET embedding = NULL,
        embedding_model = NULL
    WHERE embedding IS NOT NULL;
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RAISE NOTICE 'Embeddings of % custom interests cleared', cleared;
END
$$;
