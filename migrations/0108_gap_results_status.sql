-- Gap analysis lists every film of a collection, with whether the library has it and how far its
-- request is. Results so far know neither, so they go, together with their runs.

DELETE FROM gap_analysis_runs;

ALTER TABLE gap_analysis_results
    ADD COLUMN in_library boolean NOT NULL DEFAULT false,
    ADD COLUMN seerr_status text NOT NULL DEFAULT 'none'
        CHECK (seerr_status IN ('none', 'requested', 'processing', 'available'));

CREATE INDEX idx_gap_results_status ON gap_analysis_results (run_id, in_library, seerr_status);
