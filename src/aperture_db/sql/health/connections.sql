-- Connections of clients against what ordinary roles may have: on the server, to this database,
-- and of this role. Without pg_read_all_stats other users' sessions hide what kind they are, but
-- not that they are there. Privilege: none.
WITH client AS (
    SELECT datname, usename
    FROM pg_stat_activity
    WHERE usesysid IS NOT NULL
        AND datid IS NOT NULL
        AND coalesce(backend_type, 'client backend') = 'client backend'
)
SELECT
    'the server' AS place,
    (SELECT count(*) FROM client) AS used,
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int AS available
UNION ALL
SELECT
    'database ' || d.datname,
    (SELECT count(*) FROM client WHERE client.datname = d.datname),
    d.datconnlimit
FROM pg_database AS d
WHERE d.datname = current_database() AND d.datconnlimit > 0
UNION ALL
SELECT
    'role ' || r.rolname,
    (SELECT count(*) FROM client WHERE client.usename = r.rolname),
    r.rolconnlimit
FROM pg_roles AS r
WHERE r.rolname = current_user AND r.rolconnlimit > 0
