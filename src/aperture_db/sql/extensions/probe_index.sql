-- Purpose: an index like those of Aperture's embedding tables, on the vectors of the trial.
-- Privilege: none beyond probe_table.
CREATE INDEX aperture_db_probe_hnsw ON pg_temp.aperture_db_probe
USING hnsw (embedding halfvec_cosine_ops)
