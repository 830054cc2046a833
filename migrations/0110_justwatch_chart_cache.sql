-- Streaming charts of JustWatch: a cache for them, whether they are shown (not at first), and for
-- which streaming services.

CREATE TABLE justwatch_chart_cache (
    cache_key text PRIMARY KEY,
    payload jsonb NOT NULL,
    fetched_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_justwatch_chart_cache_fetched_at ON justwatch_chart_cache (fetched_at DESC);

INSERT INTO system_settings (key, value, description)
VALUES
    ('streaming_discovery_enabled', 'false', 'Show what is popular on streaming services'),
    (
        'streaming_discovery_provider_strips',
        'nfx,dnp,hbo',
        'JustWatch codes of the streaming services shown (Netflix, Disney+, HBO)'
    )
ON CONFLICT (key) DO NOTHING;
