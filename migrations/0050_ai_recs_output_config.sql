-- Personal recommendations choose symlinks for films and for series separately.

DELETE FROM system_settings WHERE key = 'user_recs_use_symlinks';

INSERT INTO system_settings (key, value, description)
VALUES
    ('ai_recs_movies_use_symlinks', 'false', 'Recommended films link to the files by symlinks'),
    ('ai_recs_series_use_symlinks', 'true', 'Recommended series link to the files by symlinks')
ON CONFLICT (key) DO NOTHING;

-- Overrides what 0047 took over: series in Top Picks come as symlinks from here on.
UPDATE top_picks_config SET series_use_symlinks = true
WHERE series_use_symlinks = false;
