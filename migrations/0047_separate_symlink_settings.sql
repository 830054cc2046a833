-- Top Picks use symlinks for films and for series separately.

ALTER TABLE top_picks_config
    ADD COLUMN movies_use_symlinks boolean DEFAULT false,
    ADD COLUMN series_use_symlinks boolean DEFAULT false;

UPDATE top_picks_config SET series_use_symlinks = use_symlinks
WHERE use_symlinks IS NOT NULL;
