-- Let a role do what it could before. Privilege: owner of the object.
GRANT {privilege}{column} ON {kind} {object} TO {grantee} {option}
