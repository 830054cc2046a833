-- Let a role do what it could before. Privilege: owner of the object.
GRANT {privilege} ON {kind} {name} TO {grantee} {option}
