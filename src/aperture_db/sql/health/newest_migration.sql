-- The number of the newest recorded migration. Privilege: SELECT on aperture_migrations.
SELECT coalesce(max(left(name, 4))::int, 0) FROM aperture_migrations WHERE name ~ '^[0-9]{4}_'
