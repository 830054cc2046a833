-- Tells the virtual libraries apart: AI recommendations, or the series that a user is watching.

ALTER TABLE strm_libraries
    ADD COLUMN library_type text NOT NULL DEFAULT 'ai-recs'
        CHECK (library_type IN ('ai-recs', 'watching'));

CREATE INDEX idx_strm_libraries_type ON strm_libraries (user_id, library_type);
