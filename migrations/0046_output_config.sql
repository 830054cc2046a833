-- How Top Picks and recommendations reach the media server: libraries, collections or playlists,
-- by symlinks or STRM files, and with or without an explanation written by the language model.

ALTER TABLE top_picks_config
    ADD COLUMN use_symlinks boolean DEFAULT false,
    ADD COLUMN movies_library_enabled boolean DEFAULT true,
    ADD COLUMN movies_collection_enabled boolean DEFAULT false,
    ADD COLUMN movies_playlist_enabled boolean DEFAULT false,
    ADD COLUMN series_library_enabled boolean DEFAULT true,
    ADD COLUMN series_collection_enabled boolean DEFAULT false,
    ADD COLUMN series_playlist_enabled boolean DEFAULT false,
    ADD COLUMN movies_collection_name text DEFAULT 'Top Picks - Movies',
    ADD COLUMN series_collection_name text DEFAULT 'Top Picks - Series';

ALTER TABLE users
    ADD COLUMN ai_explanation_override_allowed boolean DEFAULT false,
    ADD COLUMN ai_explanation_enabled boolean;

INSERT INTO system_settings (key, value, description)
VALUES
    ('user_recs_use_symlinks', 'false', 'Recommendations link to the files by symlinks'),
    ('ai_explanation_enabled', 'true', 'Explain each recommendation in words'),
    ('ai_explanation_user_override_allowed', 'false', 'Users may switch explanations on or off')
ON CONFLICT (key) DO NOTHING;
