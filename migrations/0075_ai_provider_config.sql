-- One setting, ai_config, names provider and model of each AI function. Where an OpenAI key is
-- configured, it is filled from the single settings that were used before.

DO $$
DECLARE
    embedding_model text := (
        SELECT value FROM system_settings WHERE key = 'embedding_model'
    );
    chat_model text := (
        SELECT value FROM system_settings WHERE key = 'chat_assistant_model'
    );
    text_model text := (
        SELECT value FROM system_settings WHERE key = 'text_generation_model'
    );
    config jsonb;
BEGIN
    IF NOT EXISTS (
        SELECT FROM system_settings WHERE key = 'openai_api_key' AND value <> ''
    ) THEN
        RAISE NOTICE 'No OpenAI key is configured: ai_config stays as it is';
        RETURN;
    END IF;

    config := jsonb_build_object(
        'embeddings', jsonb_build_object(
            'provider', 'openai',
            'model', coalesce(embedding_model, 'text-embedding-3-large')
        ),
        'chat', jsonb_build_object(
            'provider', 'openai',
            'model', coalesce(chat_model, 'gpt-4o-mini')
        ),
        'textGeneration', jsonb_build_object(
            'provider', 'openai',
            'model', coalesce(text_model, 'gpt-4o-mini')
        ),
        -- The session's local time, in spite of the Z: it is only informative.
        'migratedAt', to_char(now(), 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'migratedFrom', 'openai_api_key'
    );
    INSERT INTO system_settings (key, value, description)
    VALUES ('ai_config', config::text, 'Provider and model of each AI function (JSON)')
    ON CONFLICT (key) DO UPDATE
    SET value = EXCLUDED.value,
        description = EXCLUDED.description,
        updated_at = now();
    RAISE NOTICE 'ai_config filled from the OpenAI settings';
END
$$;
