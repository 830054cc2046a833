-- One embedding table per kind of item and vector dimension, so that models of any size can be
-- used. The embeddings that exist are copied to the tables for 3072; the old tables stay as
-- *_legacy.

-- Films

CREATE TABLE IF NOT EXISTS embeddings_256 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(256) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_256_movie_id
    ON embeddings_256 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_256_hnsw
    ON embeddings_256 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_384 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(384) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_384_movie_id
    ON embeddings_384 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_384_hnsw
    ON embeddings_384 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_512 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(512) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_512_movie_id
    ON embeddings_512 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_512_hnsw
    ON embeddings_512 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_768 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(768) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_768_movie_id
    ON embeddings_768 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_768_hnsw
    ON embeddings_768 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_1024 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1024) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_1024_movie_id
    ON embeddings_1024 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_1024_hnsw
    ON embeddings_1024 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_1536 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1536) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_1536_movie_id
    ON embeddings_1536 (movie_id);
CREATE INDEX IF NOT EXISTS idx_embeddings_1536_hnsw
    ON embeddings_1536 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS embeddings_3072 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    movie_id uuid NOT NULL REFERENCES movies (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(3072) NOT NULL,
    canonical_text text,
    UNIQUE (movie_id, model)
);
CREATE INDEX IF NOT EXISTS idx_embeddings_3072_movie_id
    ON embeddings_3072 (movie_id);

-- Series

CREATE TABLE IF NOT EXISTS series_embeddings_256 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(256) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_256_series_id
    ON series_embeddings_256 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_256_hnsw
    ON series_embeddings_256 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_384 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(384) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_384_series_id
    ON series_embeddings_384 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_384_hnsw
    ON series_embeddings_384 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_512 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(512) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_512_series_id
    ON series_embeddings_512 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_512_hnsw
    ON series_embeddings_512 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_768 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(768) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_768_series_id
    ON series_embeddings_768 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_768_hnsw
    ON series_embeddings_768 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_1024 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1024) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_1024_series_id
    ON series_embeddings_1024 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_1024_hnsw
    ON series_embeddings_1024 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_1536 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1536) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_1536_series_id
    ON series_embeddings_1536 (series_id);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_1536_hnsw
    ON series_embeddings_1536 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS series_embeddings_3072 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    series_id uuid NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(3072) NOT NULL,
    canonical_text text,
    UNIQUE (series_id, model)
);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_3072_series_id
    ON series_embeddings_3072 (series_id);

-- Episodes

CREATE TABLE IF NOT EXISTS episode_embeddings_256 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(256) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_256_episode_id
    ON episode_embeddings_256 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_256_hnsw
    ON episode_embeddings_256 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_384 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(384) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_384_episode_id
    ON episode_embeddings_384 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_384_hnsw
    ON episode_embeddings_384 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_512 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(512) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_512_episode_id
    ON episode_embeddings_512 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_512_hnsw
    ON episode_embeddings_512 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_768 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(768) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_768_episode_id
    ON episode_embeddings_768 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_768_hnsw
    ON episode_embeddings_768 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_1024 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1024) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_1024_episode_id
    ON episode_embeddings_1024 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_1024_hnsw
    ON episode_embeddings_1024 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_1536 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(1536) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_1536_episode_id
    ON episode_embeddings_1536 (episode_id);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_1536_hnsw
    ON episode_embeddings_1536 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);

CREATE TABLE IF NOT EXISTS episode_embeddings_3072 (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    episode_id uuid NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    model text NOT NULL,
    embedding halfvec(3072) NOT NULL,
    canonical_text text,
    UNIQUE (episode_id, model)
);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_3072_episode_id
    ON episode_embeddings_3072 (episode_id);

-- Existing embeddings

DO $$
DECLARE
    copied bigint;
BEGIN
    IF to_regclass('public.embeddings') IS NOT NULL THEN
        RAISE NOTICE 'Copying embeddings to embeddings_3072';
        INSERT INTO embeddings_3072 (
            id, created_at, movie_id, model, embedding, canonical_text
        )
        SELECT id, created_at, movie_id, model, embedding, canonical_text
        FROM embeddings
        ON CONFLICT (movie_id, model) DO NOTHING;
        GET DIAGNOSTICS copied = ROW_COUNT;
        RAISE NOTICE 'embeddings: % rows copied', copied;

        IF to_regclass('public.embeddings_legacy') IS NULL THEN
            ALTER TABLE embeddings RENAME TO embeddings_legacy;
        END IF;
    END IF;

    IF to_regclass('public.series_embeddings') IS NOT NULL THEN
        RAISE NOTICE 'Copying series_embeddings to series_embeddings_3072';
        INSERT INTO series_embeddings_3072 (
            id, created_at, series_id, model, embedding, canonical_text
        )
        SELECT id, created_at, series_id, model, embedding, canonical_text
        FROM series_embeddings
        ON CONFLICT (series_id, model) DO NOTHING;
        GET DIAGNOSTICS copied = ROW_COUNT;
        RAISE NOTICE 'series_embeddings: % rows copied', copied;

        IF to_regclass('public.series_embeddings_legacy') IS NULL THEN
            ALTER TABLE series_embeddings RENAME TO series_embeddings_legacy;
        END IF;
    END IF;

    IF to_regclass('public.episode_embeddings') IS NOT NULL THEN
        RAISE NOTICE 'Copying episode_embeddings to episode_embeddings_3072';
        INSERT INTO episode_embeddings_3072 (
            id, created_at, episode_id, model, embedding, canonical_text
        )
        SELECT id, created_at, episode_id, model, embedding, canonical_text
        FROM episode_embeddings
        ON CONFLICT (episode_id, model) DO NOTHING;
        GET DIAGNOSTICS copied = ROW_COUNT;
        RAISE NOTICE 'episode_embeddings: % rows copied', copied;

        IF to_regclass('public.episode_embeddings_legacy') IS NULL THEN
            ALTER TABLE episode_embeddings RENAME TO episode_embeddings_legacy;
        END IF;
    END IF;
END
$$;

-- These three are built only now, because filling an HNSW index row by row takes many times as
-- long; without parallel workers, because those need more shared memory than containers have.
SET LOCAL max_parallel_maintenance_workers = 0;

CREATE INDEX IF NOT EXISTS idx_embeddings_3072_hnsw
    ON embeddings_3072 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_3072_hnsw
    ON series_embeddings_3072 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_3072_hnsw
    ON episode_embeddings_3072 USING hnsw (embedding halfvec_cosine_ops)
    WITH (m = 16, ef_construction = 64);
