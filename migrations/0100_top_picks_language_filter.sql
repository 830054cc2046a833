-- Limits Top Picks to chosen languages, with or without titles of unknown language.

ALTER TABLE top_picks_config
    ADD COLUMN movies_languages text[] DEFAULT '{}',
    ADD COLUMN movies_include_unknown_language boolean DEFAULT true,
    ADD COLUMN series_languages text[] DEFAULT '{}',
    ADD COLUMN series_include_unknown_language boolean DEFAULT true;
