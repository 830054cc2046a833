-- Where the value of a setting comes from. Privilege: none.
SELECT source FROM pg_settings WHERE name = %(name)s
