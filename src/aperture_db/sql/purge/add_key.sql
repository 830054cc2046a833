-- Add the foreign key again as it was, which checks the rows that stay.
-- Privilege: owner of the table, and REFERENCES on the other one.
ALTER TABLE {table} ADD CONSTRAINT {name} {definition}
