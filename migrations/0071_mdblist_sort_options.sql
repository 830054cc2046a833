-- The order in which Top Picks reads its MDBList lists.

ALTER TABLE top_picks_config
    ADD COLUMN mdblist_movies_sort text NOT NULL DEFAULT 'score',
    ADD COLUMN mdblist_series_sort text NOT NULL DEFAULT 'score';
