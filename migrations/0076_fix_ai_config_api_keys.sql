-- Puts the OpenAI key into those functions of ai_config that use OpenAI and have no key yet.

DO $$
DECLARE
    openai_key text := (SELECT value FROM system_settings WHERE key = 'openai_api_key');
    config jsonb;
    ai_function text;
    key_missing boolean := false;
BEGIN
    IF openai_key <> '' THEN
        SELECT value::jsonb INTO config FROM system_settings WHERE key = 'ai_config';
    END IF;
    IF config IS NULL THEN
        RAISE NOTICE 'No OpenAI key or no ai_config: nothing to complete';
        RETURN;
    END IF;

    FOREACH ai_function IN ARRAY ARRAY['embeddings', 'chat', 'textGeneration'] LOOP
        IF config ? ai_function AND config -> ai_function ->> 'apiKey' IS NULL THEN
            key_missing := true;
            IF config -> ai_function ->> 'provider' = 'openai' THEN
                config := jsonb_set(config, ARRAY[ai_function, 'apiKey'], to_jsonb(openai_key));
            END IF;
        END IF;
    END LOOP;

    IF key_missing THEN
        UPDATE system_settings
        SET value = config::text,
            updated_at = now()
        WHERE key = 'ai_config';
        RAISE NOTICE 'ai_config completed with the OpenAI key';
    ELSE
        RAISE NOTICE 'Every function of ai_config has its key';
    END IF;
END
$$;
