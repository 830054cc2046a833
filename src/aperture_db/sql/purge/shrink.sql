-- Give the space of deleted rows back, without waiting for a lock.
-- Privilege: owner of the table.
VACUUM ({options}) {table}
