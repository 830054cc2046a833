-- Embeddings name their model as provider:model. Those made before there was a choice of
-- providers are OpenAI's; where an item has both forms, the one with the provider stays.

CREATE INDEX IF NOT EXISTS idx_embeddings_model ON embeddings (model);
CREATE INDEX IF NOT EXISTS idx_series_embeddings_model ON series_embeddings (model);
CREATE INDEX IF NOT EXISTS idx_episode_embeddings_model ON episode_embeddings (model);

DO $$
DECLARE
    openai_models CONSTANT text[] := ARRAY[
        'text-embedding-3-large', 'text-embedding-3-small', 'text-embedding-ada-002'
    ];
    superseded bigint;
    renamed bigint;
BEGIN
    DELETE FROM embeddings AS unprefixed
    USING embeddings AS prefixed
    WHERE unprefixed.model = ANY (openai_models)
      AND prefixed.model = 'openai:' || unprefixed.model
      AND prefixed.movie_id = unprefixed.movie_id;
    GET DIAGNOSTICS superseded = ROW_COUNT;
    UPDATE embeddings SET model = 'openai:' || model WHERE model = ANY (openai_models);
    GET DIAGNOSTICS renamed = ROW_COUNT;
    RAISE NOTICE 'embeddings: % renamed, % superseded and deleted', renamed, superseded;

    DELETE FROM series_embeddings AS unprefixed
    USING series_embeddings AS prefixed
    WHERE unprefixed.model = ANY (openai_models)
      AND prefixed.model = 'openai:' || unprefixed.model
      AND prefixed.series_id = unprefixed.series_id;
    GET DIAGNOSTICS superseded = ROW_COUNT;
    UPDATE series_embeddings SET model = 'openai:' || model WHERE model = ANY (openai_models);
    GET DIAGNOSTICS renamed = ROW_COUNT;
    RAISE NOTICE 'series_embeddings: % renamed, % superseded and deleted', renamed, superseded;

    DELETE FROM episode_embeddings AS unprefixed
    USING episode_embeddings AS prefixed
    WHERE unprefixed.model = ANY (openai_models)
      AND prefixed.model = 'openai:' || unprefixed.model
      AND prefixed.episode_id = unprefixed.episode_id;
    GET DIAGNOSTICS superseded = ROW_COUNT;
    UPDATE episode_embeddings SET model = 'openai:' || model WHERE model = ANY (openai_models);
    GET DIAGNOSTICS renamed = ROW_COUNT;
    RAISE NOTICE 'episode_embeddings: % renamed, % superseded and deleted', renamed, superseded;
END
$$;
