-- Rows of a table, counted up to a limit. Privilege: SELECT on one of its columns.
SELECT count(*) FROM (SELECT FROM {table} LIMIT %(limit)s) AS counted
