-- Drop Aperture's functions. Privilege: owner of each.
DROP FUNCTION {functions}
