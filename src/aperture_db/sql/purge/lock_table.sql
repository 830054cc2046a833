-- Lock one table, waiting at most as long as is left of the whole wait.
-- Privilege: DELETE, UPDATE or TRUNCATE on the table.
SET LOCAL lock_timeout = {timeout};
LOCK TABLE {table} IN {mode} MODE
