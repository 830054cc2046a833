-- Give a table back to its owner. Privilege: the right to set that role.
ALTER TABLE {table} OWNER TO {owner}
