-- The shortest round trip. Privilege: none.
SELECT 1
