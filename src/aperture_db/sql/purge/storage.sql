-- The file that holds a table, another one after VACUUM FULL, and the table's size with all that
-- belongs to it. Privilege: none.
SELECT pg_relation_filenode(%(oid)s) AS file, pg_total_relation_size(%(oid)s) AS total_bytes
