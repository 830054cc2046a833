-- What has kept rows alive since before a moment: sessions with an old snapshot or an open
-- transaction that wrote, prepared transactions, replication slots and standbys. The oldest first.
-- For VACUUM FULL a transaction that wrote in another database counts too: it holds back the
-- snapshot of VACUUM FULL itself.
-- Privilege: pg_read_all_stats for the age of other users' transactions; without it they count
-- as old.
SELECT kind, name, pid, application, "user", state, transaction_age_seconds
FROM (
    SELECT
        CASE
            WHEN a.backend_type = 'walsender' THEN 'standby'
            ELSE 'session'
        END AS kind,
        nullif(a.datname::text, current_database()) AS name,
        a.pid,
        coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
        coalesce(a.usename, '')::text AS "user",
        coalesce(a.state, '') AS state,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds,
        greatest(age(a.backend_xmin), age(a.backend_xid)) AS horizon_age
    FROM pg_stat_activity AS a
    WHERE a.pid <> pg_backend_pid()
        AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)
        AND (
            a.datname = current_database()
            OR a.backend_type = 'walsender'
            OR (%(is_full)s AND a.backend_xid IS NOT NULL)
        )
        AND (a.xact_start IS NULL OR a.xact_start < %(since)s)
    UNION ALL
    SELECT
        'prepared transaction', p.gid, NULL, '', p.owner::text, '',
        extract(epoch FROM clock_timestamp() - p.prepared)::float8,
        age(p.transaction)
    FROM pg_prepared_xacts AS p
    WHERE p.database = current_database()
    UNION ALL
    SELECT 'replication slot', s.slot_name::text, NULL, '', '', '', NULL, age(s.xmin)
    FROM pg_replication_slots AS s
    WHERE s.xmin IS NOT NULL
) AS holder
ORDER BY horizon_age DESC NULLS LAST
LIMIT 3
