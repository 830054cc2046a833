-- Every film, series or episode. Privilege: SELECT on the table.
SELECT id FROM {table}
