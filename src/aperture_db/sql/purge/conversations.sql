-- Chats that may name titles by the ids they have now. Privilege: SELECT on the table.
SELECT count(*) FROM {table}
