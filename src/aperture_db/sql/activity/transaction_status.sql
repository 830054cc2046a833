-- How a transaction ended: committed, aborted, in progress, or NULL when it is too long ago.
-- Privilege: none.
SELECT pg_xact_status(%(xid)s::xid8)
