-- All rows of a table that nothing reads. Privilege: SELECT on the table.
SELECT {columns}
FROM {table} AS doomed
