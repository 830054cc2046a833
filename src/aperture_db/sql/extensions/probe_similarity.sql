-- Purpose: a similarity whose value PostgreSQL's manual states (pg_trgm, 0.36363637).
-- Privilege: none.
SELECT similarity('word', 'two words')
