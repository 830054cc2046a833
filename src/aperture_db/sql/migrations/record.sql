-- Purpose: record a file, unless somebody did meanwhile; the table lock keeps Aperture's own
-- runner from recording it until this transaction ends, and readers are not held up.
-- The savepoint is the guard that tells whether the file ends the transaction itself.
-- Privilege: INSERT and UPDATE (for the lock) on aperture_migrations.
LOCK TABLE aperture_migrations IN SHARE ROW EXCLUSIVE MODE;
INSERT INTO aperture_migrations (name)
SELECT %(name)s WHERE NOT EXISTS (SELECT FROM aperture_migrations WHERE name = %(name)s);
SAVEPOINT aperture_db_guard
