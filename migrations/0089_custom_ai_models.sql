-- Models that the administrator has added by name, per provider and AI function.

CREATE TABLE custom_ai_models (
    id serial PRIMARY KEY,
    provider text NOT NULL CHECK (provider IN ('ollama', 'openai-compatible')),
    function_type text NOT NULL
        CHECK (function_type IN ('embeddings', 'chat', 'textGeneration', 'exploration')),
    model_id text NOT NULL,
    created_at timestamptz DEFAULT now(),
    UNIQUE (provider, function_type, model_id)
);
CREATE INDEX idx_custom_ai_models_provider_function ON custom_ai_models (provider, function_type);
