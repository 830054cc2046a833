-- The file that holds a table: another one after VACUUM FULL. Privilege: none.
SELECT pg_relation_filenode(%(oid)s)
