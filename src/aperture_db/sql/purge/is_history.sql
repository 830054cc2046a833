-- Whether no transaction that writes, in whichever database, is older than the given one has been.
-- Privilege: none.
SELECT pg_snapshot_xmin(pg_current_snapshot()) > %(xid)s::xid8
