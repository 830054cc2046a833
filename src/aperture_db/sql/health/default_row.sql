-- Whether a table has the row with id 1. Privilege: SELECT on the table.
SELECT EXISTS (SELECT FROM {table} WHERE id = 1)
