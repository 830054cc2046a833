-- Give a foreign key its comment back. Privilege: owner of the table.
COMMENT ON CONSTRAINT {name} ON {table} IS {comment}
