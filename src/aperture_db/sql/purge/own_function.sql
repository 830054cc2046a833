-- Give a function back to its owner. Privilege: the right to set that role.
ALTER FUNCTION {function} OWNER TO {owner}
