-- Give columns another value. Privilege: UPDATE and SELECT on the table.
UPDATE {table} SET {assignments} WHERE {condition}
