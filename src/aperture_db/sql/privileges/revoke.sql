-- Take a privilege away that came with making the object. Privilege: owner of the object.
REVOKE {privilege}{column} ON {kind} {object} FROM {grantee}
