-- Users' taste embeddings may have the dimension of whichever model is in use.

ALTER TABLE user_preferences
    ALTER COLUMN taste_embedding TYPE halfvec,
    ALTER COLUMN series_taste_embedding TYPE halfvec;

-- Users who have either embedding lose both, with their timestamps: Aperture computes them anew.
DO $$
DECLARE
    cleared bigint;
BEGIN
    UPDATE user_preferences
    SET taste_embedding = NULL,
        taste_embedding_updated_at = NULL,
        series_taste_embedding = NULL,
        series_taste_embedding_updated_at = NULL
    WHERE taste_embedding IS NOT NULL
       OR series_taste_embedding IS NOT NULL;
    GET DIAGNOSTICS cleared = ROW_COUNT;
    RAISE NOTICE 'Taste embeddings of % users cleared', cleared;
END
$$;
