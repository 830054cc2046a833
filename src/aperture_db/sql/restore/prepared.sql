-- Transactions that were prepared for a two-phase commit and keep their locks without a session.
-- Privilege: none.
SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid
