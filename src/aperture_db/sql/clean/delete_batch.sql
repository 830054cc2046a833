-- Delete one batch. A row that somebody changes meanwhile has another ctid then, and stays.
-- Privilege: SELECT and DELETE on the table.
DELETE FROM {table} WHERE ctid = ANY (ARRAY({rows} LIMIT %(batch_rows)s))
