-- Drop Aperture's tables. Not CASCADE: what others made on them must not go unseen.
-- Privilege: owner of each.
DROP TABLE {tables}
