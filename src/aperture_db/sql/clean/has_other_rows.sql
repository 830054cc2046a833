-- Whether a table holds more rows than those that may go. Privilege: SELECT on the table.
SELECT (SELECT count(*) FROM {table}) <> (SELECT count(*) FROM ({rows}) AS counted)
