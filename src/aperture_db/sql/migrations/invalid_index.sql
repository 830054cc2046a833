-- Purpose: an index of this name that a failed CONCURRENTLY build left invalid.
-- Privilege: none.
SELECT c.oid::regclass::text
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE lower(c.relname) = lower(%(name)s) AND NOT i.indisvalid AND pg_table_is_visible(c.oid)
