-- Custom models of OpenRouter.

ALTER TABLE custom_ai_models DROP CONSTRAINT IF EXISTS custom_ai_models_provider_check;

ALTER TABLE custom_ai_models ADD CONSTRAINT custom_ai_models_provider_check
    CHECK (provider IN ('ollama', 'openai-compatible', 'openrouter'));
