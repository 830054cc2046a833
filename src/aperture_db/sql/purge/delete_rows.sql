-- Delete rows of a table that is shared. Privilege: DELETE and SELECT on the table.
DELETE FROM {table} WHERE {condition}
