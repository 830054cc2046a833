-- Whether a table has any row. Privilege: SELECT on the table.
SELECT EXISTS (SELECT FROM {table})
