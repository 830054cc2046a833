-- Drop a foreign key for the time of a TRUNCATE. Privilege: owner of the table.
ALTER TABLE {table} DROP CONSTRAINT {name}
