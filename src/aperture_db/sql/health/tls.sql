-- Whether the server offers TLS, and what this session uses. Privilege: none.
SELECT
    current_setting('ssl') = 'on' AS is_offered,
    s.version,
    s.cipher
FROM (SELECT pg_backend_pid() AS pid) AS me
LEFT JOIN pg_stat_ssl AS s ON s.pid = me.pid AND s.ssl
