-- Try for the lock that all runners of migrations of this tool share, until the transaction ends.
-- Privilege: none.
SELECT pg_try_advisory_xact_lock(%(lock_key)s)
