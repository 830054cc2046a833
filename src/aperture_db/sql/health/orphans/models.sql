-- Models of one's own that no function of Aperture is configured to use.
-- Privilege: SELECT on custom_ai_models.
SELECT count(*)
FROM custom_ai_models AS c
WHERE NOT EXISTS (
    SELECT
    FROM unnest(%(functions)s::text[], %(providers)s::text[], %(models)s::text[])
        AS used (function_type, provider, model_id)
    WHERE used.function_type = c.function_type
        AND used.provider = c.provider
        AND used.model_id = c.model_id
)
