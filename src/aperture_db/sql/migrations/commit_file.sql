-- Purpose: end a file's transaction. The guard is gone if the file has ended it itself, and then
-- nothing more may be committed. Privilege: none.
RELEASE SAVEPOINT aperture_db_guard;
COMMIT
