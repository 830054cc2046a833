-- The IMDb id of discovery candidates, for links.

ALTER TABLE discovery_candidates ADD COLUMN imdb_id text;

CREATE INDEX idx_discovery_candidates_imdb_id ON discovery_candidates (imdb_id)
    WHERE imdb_id IS NOT NULL;
