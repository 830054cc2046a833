-- Rows that stay and refer to rows that go, by a foreign key that forbids it.
-- Privilege: SELECT on both tables.
SELECT count(*) FROM {table} WHERE {condition}
