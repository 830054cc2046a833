-- Whether the server counts what is written to tables, and this transaction's id.
-- Privilege: none.
SELECT current_setting('track_counts')::boolean, pg_current_xact_id()::text
