-- name: any_row
-- True if a table has any row. Privilege: SELECT on the table.
SELECT EXISTS (SELECT FROM {table})

-- name: archive_backlog
-- Segments of WAL, and other files, that wait to be archived. Privilege: pg_monitor.
SELECT count(*) FROM pg_ls_archive_statusdir() WHERE right(name, 6) = '.ready'

-- name: archiver
-- WAL archiving: its settings, its last failure if that is newer than the last success, and if the
-- role may list what waits. Privilege: none.
SELECT
    current_setting('archive_mode') AS mode,
    pg_is_in_recovery() AS is_standby,
    current_setting('archive_command') <> ''
        OR coalesce(current_setting('archive_library', true), '') <> '' AS has_target,
    a.last_failed_time > coalesce(a.last_archived_time, '-infinity') IS TRUE AS is_failing,
    a.failed_count AS failures,
    a.last_failed_wal AS file_name,
    extract(epoch FROM clock_timestamp() - a.last_archived_time)::float8 AS archived_seconds_ago,
    has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') AS may_count
FROM pg_stat_archiver AS a

-- name: autovacuum
-- The settings that autovacuum needs: its switch, the counting that it needs, and the tables that it has to
-- leave alone. Privilege: none.
SELECT
    current_setting('autovacuum') = 'on' AS is_on,
    current_setting('track_counts') = 'on' AS is_counting,
    ARRAY(
        SELECT c.oid::regclass::text
        FROM pg_class AS c, pg_options_to_table(c.reloptions) AS o
        WHERE c.relkind IN ('r', 'm')
            AND o.option_name = 'autovacuum_enabled'
            AND NOT o.option_value::boolean
        ORDER BY 1
    ) AS excluded_tables

-- name: backup
-- The last backup that Aperture or this tool noted, and how long the installation has existed.
-- Privilege: SELECT on backup_config and aperture_migrations.
SELECT
    extract(epoch FROM clock_timestamp() - c.last_backup_at)::float8 AS age_seconds,
    c.last_backup_filename AS file_name,
    c.backup_path AS directory,
    (
        SELECT extract(epoch FROM clock_timestamp() - min(applied_at))::float8
        FROM {schema}.aperture_migrations
    ) AS installed_seconds_ago
FROM {schema}.backup_config AS c
WHERE c.id = 1

-- name: disabled_triggers
-- Triggers that don't fire, those of foreign keys among them. Privilege: none.
SELECT
    t.tgname::text AS trigger_name,
    quote_ident(t.tgname) AS name,
    t.tgrelid::regclass::text AS table_name,
    CASE WHEN t.tgisinternal THEN k.conname::text END AS constraint_name
FROM pg_trigger AS t
JOIN pg_class AS c ON c.oid = t.tgrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_constraint AS k ON k.oid = t.tgconstraint
WHERE t.tgenabled = 'D'
    AND n.nspname !~ '^pg_'
ORDER BY table_name, name

-- name: drill
-- The last restore drill. Privilege: SELECT on aperture_db.drills.
SELECT
    extract(epoch FROM clock_timestamp() - drilled_at)::float8 AS age_seconds,
    file_name,
    failure
FROM aperture_db.drills
ORDER BY id DESC
LIMIT 1

-- name: backup_elsewhere
-- The newest backup outside Aperture's directory. A time in the future comes from a wrong clock.
-- Privilege: SELECT on aperture_db.backups.
SELECT
    extract(epoch FROM clock_timestamp() - made_at)::float8 AS age_seconds,
    file_name,
    directory,
    NULL::float8 AS installed_seconds_ago
FROM aperture_db.backups
WHERE made_at < clock_timestamp() + interval '10 minutes'
ORDER BY made_at DESC, id DESC
LIMIT 1

-- name: bloat
-- Space inside the largest tables and their TOAST that holds nothing, read from the free space map
-- and the pages that VACUUM has not seen. Privilege: pg_stat_scan_tables.
SELECT
    large.name,
    large.table_name,
    large.vacuum_name,
    sum(a.table_len)::bigint AS size_bytes,
    sum(a.approx_free_space)::bigint AS free_bytes
FROM (
    SELECT
        c.oid,
        c.reltoastrelid,
        c.oid::regclass::text AS name,
        c.relname::text AS table_name,
        CASE WHEN n.nspname = {schema_name} THEN '' ELSE n.nspname || '.' END || c.relname
            AS vacuum_name
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm')
        AND n.nspname !~ '^pg_'
        AND n.nspname <> 'information_schema'
        AND pg_table_size(c.oid) >= %(min_bytes)s
    ORDER BY pg_table_size(c.oid) DESC
    LIMIT 10
) AS large
CROSS JOIN LATERAL unnest(ARRAY[large.oid, nullif(large.reltoastrelid, 0)]) AS relation (oid)
CROSS JOIN LATERAL {schema}.pgstattuple_approx(relation.oid) AS a
WHERE relation.oid IS NOT NULL
GROUP BY large.oid, large.name, large.table_name, large.vacuum_name
ORDER BY free_bytes DESC

-- name: blocked_queries
-- Sessions of this database that wait for a lock, since when, and who holds them up (0: a prepared
-- transaction). Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(extract(epoch FROM clock_timestamp() - max(l.waitstart)), 0)::float8 AS waiting_seconds,
    pg_blocking_pids(a.pid) AS blocking_pids
FROM pg_stat_activity AS a
JOIN pg_locks AS l ON l.pid = a.pid AND NOT l.granted
WHERE a.datname = current_database()
GROUP BY a.pid, a.application_name, a.backend_type, a.usename
HAVING cardinality(pg_blocking_pids(a.pid)) > 0
ORDER BY waiting_seconds DESC

-- name: cache_hits
-- Blocks of this database found in shared buffers, and those asked of the system.
-- Privilege: none.
SELECT
    blks_hit::bigint AS hit_blocks,
    blks_read::bigint AS read_blocks,
    pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes
FROM pg_stat_database
WHERE datname = current_database()

-- name: checksums
-- Pages whose checksum was wrong when they were read, per database; the row without a name is for
-- objects that all databases share. Privilege: none.
SELECT
    coalesce(datname::text, 'shared objects') AS name,
    checksum_failures AS failures,
    checksum_last_failure AS last_at
FROM pg_stat_database
WHERE checksum_failures > 0
ORDER BY failures DESC

-- name: collations
-- Collations that indexes use and whose rules have changed since. Privilege: none.
SELECT
    c.oid::regcollation::text AS name,
    c.collversion AS built_with,
    pg_collation_actual_version(c.oid) AS present
FROM pg_collation AS c
WHERE c.collversion IS NOT NULL
    AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
    AND EXISTS (SELECT FROM pg_index AS i WHERE c.oid = ANY (i.indcollation))
ORDER BY name

-- name: connections
-- Connections of clients against what ordinary roles may have: on the server, to this database,
-- and of this role and the owners of Aperture's tables. Superusers have no limit. Without pg_read_all_stats other users' sessions hide what kind they are, but
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
WHERE d.datname = current_database() AND d.datconnlimit >= 0
UNION ALL
SELECT
    'role ' || r.rolname,
    (SELECT count(*) FROM client WHERE client.usename = r.rolname),
    r.rolconnlimit
FROM pg_roles AS r
WHERE r.rolconnlimit >= 0
    AND NOT r.rolsuper
    AND (
        r.rolname = current_user
        OR r.oid IN (
            SELECT c.relowner
            FROM pg_class AS c
            JOIN pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = {schema_name} AND c.relkind = 'r'
        )
    )

-- name: constraints
-- Constraints that were never checked against the rows that were there. One that is not enforced
-- (from 18 on) is so on purpose. Privilege: none.
SELECT
    k.conname::text AS constraint_name,
    quote_ident(k.conname) AS name,
    k.conrelid::regclass::text AS table_name,
    CASE k.contype WHEN 'f' THEN 'foreign key' WHEN 'c' THEN 'check' ELSE 'not null' END AS kind
FROM pg_constraint AS k
JOIN pg_namespace AS n ON n.oid = k.connamespace
WHERE NOT k.convalidated
    AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true)
    AND k.conrelid <> 0
    AND n.nspname !~ '^pg_'
ORDER BY table_name, name

-- name: database_collation
-- The version of the collation rules that the database's indexes were built with, and that of the
-- operating system or ICU library now. From PostgreSQL 15 on. Privilege: none.
SELECT
    'the database''s default' AS name,
    datcollversion AS built_with,
    pg_database_collation_actual_version(oid) AS present
FROM pg_database
WHERE datname = current_database()
    AND datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
    AND datcollversion IS NOT NULL

-- name: dead_rows
-- Dead rows of each table against the number at which autovacuum acts: the table's own settings,
-- or else the server's (formula: PostgreSQL's manual, "The Autovacuum Daemon"). Vector
-- search misses more results as dead rows accumulate, so tables with HNSW indexes are marked. Privilege: none.
SELECT
    c.oid::regclass::text AS name,
    c.relname::text AS table_name,
    CASE WHEN s.schemaname = {schema_name} THEN '' ELSE s.schemaname || '.' END || c.relname
        AS vacuum_name,
    s.n_live_tup AS live_rows,
    s.n_dead_tup AS dead_rows,
    least(
        coalesce(o.threshold, current_setting('autovacuum_vacuum_threshold'))::float8
            + coalesce(o.scale_factor, current_setting('autovacuum_vacuum_scale_factor'))::float8
                * greatest(c.reltuples, 0),
        -- From 18 on; -1 means no maximum.
        nullif(
            coalesce(o.maximum, current_setting('autovacuum_vacuum_max_threshold', true)), '-1'
        )::float8
    ) AS autovacuum_rows,
    EXISTS (
        SELECT
        FROM pg_index AS i
        JOIN pg_class AS index_class ON index_class.oid = i.indexrelid
        JOIN pg_am AS a ON a.oid = index_class.relam
        WHERE i.indrelid = c.oid AND a.amname = 'hnsw'
    ) AS has_hnsw,
    EXISTS (SELECT FROM pg_stat_progress_vacuum AS p WHERE p.relid = c.oid) AS is_being_vacuumed
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
CROSS JOIN LATERAL (
    SELECT
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_threshold') AS threshold,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_scale_factor')
            AS scale_factor,
        max(option_value) FILTER (WHERE option_name = 'autovacuum_vacuum_max_threshold') AS maximum
    FROM pg_options_to_table(c.reloptions)
) AS o
WHERE s.n_dead_tup > 0
ORDER BY s.n_dead_tup DESC

-- name: default_row
-- True if a table has the row with id 1. Privilege: SELECT on the table.
SELECT EXISTS (SELECT FROM {table} WHERE id = 1)

-- name: duplicate_indexes
-- Valid indexes that equal another one of the same table in everything but the name. Of each group
-- the one that a constraint needs is kept, else the oldest. Privilege: none.
WITH alike AS (
    SELECT
        i.indexrelid,
        i.indrelid,
        k.conname,
        first_value(i.indexrelid) OVER same AS kept,
        row_number() OVER same AS position
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
    WHERE i.indisvalid AND n.nspname !~ '^pg_'
    WINDOW same AS (
        PARTITION BY
            i.indrelid, c.relam, i.indkey::text, i.indclass::text, i.indcollation::text,
            i.indoption::text, pg_get_expr(i.indexprs, i.indrelid),
            pg_get_expr(i.indpred, i.indrelid)
        ORDER BY (k.oid IS NOT NULL) DESC, i.indisunique DESC, i.indexrelid
    )
)
SELECT
    alike.indexrelid::regclass::text AS name,
    c.relname::text AS index_name,
    alike.indrelid::regclass::text AS table_name,
    alike.kept::regclass::text AS same_as,
    quote_ident(alike.conname) AS "constraint",
    pg_relation_size(alike.indexrelid) AS size_bytes
FROM alike
JOIN pg_class AS c ON c.oid = alike.indexrelid
WHERE alike.position > 1
ORDER BY name

-- name: failed_jobs
-- Jobs whose newest run failed, how often in a row, and when one last completed. Error messages
-- are not read: they can hold secrets. Privilege: SELECT on job_runs.
SELECT
    newest.job_name AS name,
    newest.id::text AS run_id,
    newest.started_at AS failed_at,
    completed.started_at AS completed_at,
    (
        SELECT count(*)
        FROM {schema}.job_runs AS run
        WHERE run.job_name = newest.job_name
            AND run.status = 'failed'
            AND run.started_at > coalesce(completed.started_at, '-infinity')
    ) AS failures
FROM (
    SELECT DISTINCT ON (job_name) id, job_name, status, started_at
    FROM {schema}.job_runs
    ORDER BY job_name, started_at DESC
) AS newest
LEFT JOIN LATERAL (
    SELECT run.started_at
    FROM {schema}.job_runs AS run
    WHERE run.job_name = newest.job_name AND run.status = 'completed'
    ORDER BY run.started_at DESC
    LIMIT 1
) AS completed ON true
WHERE newest.status = 'failed' AND newest.job_name <> ALL (%(ignored)s)
ORDER BY failures DESC, name

-- name: hba_file_errors
-- Errors of pg_hba.conf. Privilege: superuser, or SELECT on the view and EXECUTE on its function.
SELECT
    coalesce(to_jsonb(r) ->> 'file_name', 'pg_hba.conf') AS file,
    r.line_number AS line,
    NULL AS name,
    r.error
FROM pg_hba_file_rules AS r
WHERE r.error IS NOT NULL
ORDER BY file, line

-- name: encoding
-- The database's encoding and owner, and what a new database needs where template0's locale is one
-- of another encoding.
-- Privilege: none.
SELECT
    pg_encoding_to_char(d.encoding)::text AS name,
    pg_get_userbyid(d.datdba)::text AS owner,
    CASE
        WHEN t.datcollate !~* '^(C|POSIX)$|utf-?8' OR t.datctype !~* '^(C|POSIX)$|utf-?8'
        THEN 'LOCALE ''C.UTF-8'' '
        ELSE ''
    END AS locale
FROM pg_database AS d
JOIN pg_database AS t ON t.datname = 'template0'
WHERE d.datname = current_database()

-- name: owner
-- Who connects, and who owns Aperture's tables, or where there are none, the database.
-- Privilege: none.
SELECT
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_used_by_superuser,
    r.rolname::text AS name,
    r.rolsuper AS is_superuser
FROM pg_roles AS r
WHERE r.oid = coalesce(
    (
        SELECT c.relowner
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = {schema_name} AND c.relkind = 'r'
        GROUP BY c.relowner
        ORDER BY count(*) DESC, c.relowner
        LIMIT 1
    ),
    (SELECT datdba FROM pg_database WHERE datname = current_database())
)

-- name: identity
-- The database and the role of the session. Privilege: none.
SELECT
    current_database()::text AS database,
    current_user::text AS role,
    pg_is_in_recovery() AS is_standby,
    pg_has_role('pg_read_all_stats', 'USAGE') AS may_see_sessions

-- name: idle_in_transaction
-- Sessions of this database that sit idle in an open transaction.
-- Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    a.state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds,
    extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS idle_seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.state IN ('idle in transaction', 'idle in transaction (aborted)')
ORDER BY idle_seconds DESC

-- name: installation_age
-- The time since the first migration, which the database is at least as old as, unless it was
-- restored. Privilege: SELECT on aperture_migrations.
SELECT extract(epoch FROM clock_timestamp() - min(applied_at))::float8 AS counted_seconds
FROM {schema}.aperture_migrations

-- name: index_checker
-- The extension amcheck, and what the role lacks to check indexes with it. Privilege: none.
SELECT
    quote_ident(n.nspname) AS schema,
    has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
    has_function_privilege(p.oid, 'EXECUTE') AS may_check
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_proc AS p ON p.pronamespace = n.oid
WHERE e.extname = 'amcheck'
    AND p.proname = 'bt_index_check'
    AND oidvectortypes(p.proargtypes) = 'regclass, boolean'

-- name: checkable_indexes
-- Every b-tree index that holds entries in this session's sight, the smallest first: those of the
-- system catalogs and of TOAST, too. Privilege: none.
SELECT
    i.indexrelid AS oid,
    i.indexrelid::regclass::text AS name,
    -- The server refuses CONCURRENTLY for its catalogs.
    'REINDEX INDEX '
        || CASE n.nspname WHEN 'pg_catalog' THEN '' ELSE 'CONCURRENTLY ' END
        || i.indexrelid::regclass || ';' AS rebuild
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_am AS a ON a.oid = c.relam
WHERE a.amname = 'btree'
    AND c.relkind = 'i'
    AND c.relpersistence <> 't'
    AND NOT (c.relpersistence = 'u' AND pg_is_in_recovery())
    AND i.indisvalid
    AND i.indisready
ORDER BY c.relpages, name

-- name: check_index
-- Compares an index with every row of its table. Privilege: EXECUTE on the function. Lock: ACCESS
-- SHARE on the index and its table.
SELECT {schema_of_amcheck}.bt_index_check(%(oid)s::oid::regclass, true)

-- name: invalid_indexes
-- Indexes that a failed or cancelled CONCURRENTLY left unusable; those being built now are none.
-- Privilege: none.
SELECT
    i.indexrelid::regclass::text AS name,
    c.relname::text AS index_name,
    i.indrelid::regclass::text AS table_name,
    pg_relation_size(i.indexrelid) AS size_bytes
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready)
    AND c.relkind = 'i'
    AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
        SELECT
        FROM pg_stat_progress_create_index AS p
        WHERE p.relid = i.indrelid
            AND p.datname = current_database()
            AND p.index_relid IN (0, i.indexrelid)
    )
ORDER BY name

-- name: job_names
-- Names in the history of jobs that are not those of the code. Privilege: SELECT on job_runs.
SELECT job_name AS name, count(*) AS runs
FROM {schema}.job_runs
WHERE job_name <> ALL (%(known)s)
GROUP BY job_name
ORDER BY job_name

-- name: largest_hnsw
-- The largest HNSW index, and its table. Privilege: none.
SELECT
    i.indexrelid::regclass::text AS name,
    i.indrelid AS table_oid
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam
WHERE a.amname = 'hnsw'
ORDER BY pg_relation_size(i.indexrelid) DESC
LIMIT 1

-- name: long_transactions
-- Transactions of this database that run on; those that sit idle are idle_in_transaction's.
-- Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    a.pid,
    coalesce(nullif(a.application_name, ''), a.backend_type, '') AS application,
    coalesce(a.usename, '') AS "user",
    coalesce(a.state, '') AS state,
    extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_age_seconds
FROM pg_stat_activity AS a
WHERE a.datname = current_database()
    AND a.pid <> pg_backend_pid()
    AND a.backend_type = 'client backend'
    AND a.xact_start IS NOT NULL
    AND a.state NOT LIKE 'idle in transaction%%'
ORDER BY a.xact_start

-- name: may_read_files
-- 1 if the role may read the errors of the configuration files. Privilege: none.
SELECT (
    has_table_privilege('pg_file_settings', 'SELECT')
    AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')
    AND has_table_privilege('pg_hba_file_rules', 'SELECT')
    AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE')
)::int

-- name: may_see_settings
-- 1 if the role sees the settings that others don't. Privilege: none.
SELECT pg_has_role('pg_read_all_settings', 'USAGE')::int

-- name: never_analyzed
-- Tables with rows whose contents the planner does not know: they were never analyzed, or not since
-- the server was upgraded. Those that the role may not read are among them.
-- Privilege: SELECT on the tables.
SELECT c.oid::bigint AS oid
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'm')
    AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema'
    AND s.last_analyze IS NULL
    AND s.last_autoanalyze IS NULL
    AND pg_relation_size(c.oid) > 0
    AND NOT EXISTS (
        SELECT FROM pg_stats AS p WHERE p.schemaname = n.nspname AND p.tablename = c.relname
    )

-- name: newest_migration
-- The number of the newest recorded migration. Privilege: SELECT on aperture_migrations.
SELECT coalesce(max(left(name, 4))::int, 0) FROM {schema}.aperture_migrations WHERE name ~ '^[0-9]{{4}}_'

-- name: oldest_tables
-- The tables of this database that hold its oldest ids. Privilege: none.
SELECT c.oid::regclass::text AS name
FROM pg_class AS c
LEFT JOIN pg_class AS toast ON toast.oid = c.reltoastrelid
WHERE c.relkind IN ('r', 'm')
ORDER BY
    greatest(
        age(c.relfrozenxid), mxid_age(c.relminmxid),
        coalesce(age(toast.relfrozenxid), 0), coalesce(mxid_age(toast.relminmxid), 0)
    ) DESC
LIMIT 3

-- name: orphans_channel_examples
-- Example films of channels that were deleted; Aperture skips them.
-- Privilege: SELECT on channels and movies.
SELECT count(*)
FROM {schema}.channels AS c, unnest(c.example_movie_ids) AS example (id)
WHERE NOT EXISTS (SELECT FROM {schema}.movies WHERE movies.id = example.id)

-- name: orphans_collections
-- Films whose collection has no row of its own. Privilege: SELECT on movies and collections.
SELECT count(*)
FROM {schema}.movies AS m
WHERE m.collection_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM {schema}.collections AS c WHERE c.tmdb_id = m.collection_id)

-- name: orphans_excluded_libraries
-- Libraries that users exclude and that are not configured any more.
-- Privilege: SELECT on user_preferences and library_config.
SELECT count(*)
FROM {schema}.user_preferences AS p,
    jsonb_array_elements_text(
        CASE jsonb_typeof(p.settings -> 'excludedLibraryIds')
            WHEN 'array' THEN p.settings -> 'excludedLibraryIds'
            ELSE '[]'
        END
    ) AS excluded (id)
WHERE EXISTS (SELECT FROM {schema}.library_config)
    AND NOT EXISTS (SELECT FROM {schema}.library_config AS l WHERE l.provider_library_id = excluded.id)

-- name: orphans_graph_playlists
-- Playlists made from a deleted title. The id is text. Privilege: SELECT on graph_playlists,
-- movies and series.
SELECT count(*)
FROM {schema}.graph_playlists AS p
WHERE p.source_item_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM {schema}.movies AS m WHERE m.id::text = p.source_item_id)
    AND NOT EXISTS (SELECT FROM {schema}.series AS s WHERE s.id::text = p.source_item_id)

-- name: orphans_images
-- Pictures of deleted libraries and playlists. Fixed names, such as ai-recs-movies, stay
-- valid; pictures of collections belong to the media server's, which the database does not list.
-- Privilege: SELECT on media_images, library_config, strm_libraries, playlists, graph_playlists,
-- channels and channel_shares.
SELECT count(*)
FROM {schema}.media_images AS i
WHERE i.entity_id !~ '^[a-z]+(-[a-z]+)+$'
    AND (
        i.entity_type = 'library'
        AND NOT EXISTS (
            SELECT FROM {schema}.library_config WHERE provider_library_id = i.entity_id
            UNION ALL
            SELECT FROM {schema}.strm_libraries WHERE provider_library_id = i.entity_id
        )
        OR i.entity_type = 'playlist'
        AND NOT EXISTS (
            SELECT FROM {schema}.playlists WHERE provider_playlist_id = i.entity_id
            UNION ALL
            SELECT FROM {schema}.graph_playlists WHERE media_server_playlist_id = i.entity_id
            UNION ALL
            SELECT FROM {schema}.channels WHERE playlist_id = i.entity_id
            UNION ALL
            SELECT FROM {schema}.channel_shares WHERE viewer_playlist_id = i.entity_id
        )
    )

-- name: orphans_models
-- Models of one's own that no function of Aperture is configured to use.
-- Privilege: SELECT on custom_ai_models.
SELECT count(*)
FROM {schema}.custom_ai_models AS c
WHERE NOT EXISTS (
    SELECT
    FROM unnest(%(functions)s::text[], %(providers)s::text[], %(models)s::text[])
        AS used (function_type, provider, model_id)
    WHERE used.function_type = c.function_type
        AND used.provider = c.provider
        AND used.model_id = c.model_id
)

-- name: orphans_movie_libraries
-- Films of a library that is not configured any more. As long as none is configured, all count.
-- Privilege: SELECT on movies and library_config.
SELECT count(*)
FROM {schema}.movies AS m
WHERE m.provider_library_id IS NOT NULL
    AND EXISTS (SELECT FROM {schema}.library_config)
    AND NOT EXISTS (
        SELECT FROM {schema}.library_config AS l WHERE l.provider_library_id = m.provider_library_id
    )

-- name: orphans_series_libraries
-- Series of a library that is not configured any more. As long as none is configured, all count.
-- Privilege: SELECT on series and library_config.
SELECT count(*)
FROM {schema}.series AS s
WHERE s.provider_library_id IS NOT NULL
    AND EXISTS (SELECT FROM {schema}.library_config)
    AND NOT EXISTS (
        SELECT FROM {schema}.library_config AS l WHERE l.provider_library_id = s.provider_library_id
    )

-- name: pending_restart
-- Settings that were changed in the files and wait for a restart.
-- Privilege: pg_monitor (or pg_read_all_settings) to see all.
SELECT name FROM pg_settings WHERE pending_restart ORDER BY name

-- name: pgstattuple
-- The extension pgstattuple, which measures the space inside tables: its schema, and if
-- the role may use it. Privilege: none.
SELECT
    n.nspname::text AS schema,
    has_schema_privilege(n.oid, 'USAGE') AND has_function_privilege(p.oid, 'EXECUTE') AS may_use
FROM pg_extension AS e
JOIN pg_namespace AS n ON n.oid = e.extnamespace
JOIN pg_proc AS p ON p.pronamespace = n.oid AND p.proname = 'pgstattuple_approx'
WHERE e.extname = 'pgstattuple'

-- name: ping
-- The shortest round trip. Privilege: none.
SELECT 1

-- name: prepared_transactions
-- Prepared transactions of this database: they hold locks and keep dead rows without any session.
-- Privilege: none.
SELECT gid, extract(epoch FROM clock_timestamp() - prepared)::float8 AS age_seconds
FROM pg_prepared_xacts
WHERE database = current_database()
ORDER BY prepared

-- name: recorded_migrations
-- The names of the migrations that were applied. Privilege: SELECT on aperture_migrations.
SELECT name FROM {schema}.aperture_migrations

-- name: replicas
-- Standbys and subscribers that are connected to this server; backups are none. A state is NULL
-- where the role does not see it. Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    coalesce(nullif(r.application_name, ''), 'pid ' || r.pid) AS name,
    r.state,
    extract(epoch FROM r.replay_lag)::float8 AS lag_seconds,
    greatest(pg_wal_lsn_diff(here.lsn, coalesce(r.replay_lsn, r.flush_lsn)), 0)::bigint
        AS behind_bytes
FROM pg_stat_replication AS r
CROSS JOIN (
    SELECT
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
            AS lsn
) AS here
WHERE r.state IS DISTINCT FROM 'backup'
ORDER BY behind_bytes DESC NULLS LAST, name

-- name: replication_slots
-- Replication slots, the WAL that each keeps, and how much more it can keep. Left out are slots
-- that are kept in step with those of the primary (from PostgreSQL 17 on): nobody uses them here.
-- Privilege: none.
SELECT
    s.slot_name::text AS name,
    s.slot_type AS kind,
    s.active AS is_active,
    s.wal_status,
    coalesce(greatest(pg_wal_lsn_diff(here.lsn, s.restart_lsn), 0), 0)::bigint AS held_bytes,
    s.safe_wal_size AS left_bytes,
    greatest(age(s.xmin), age(s.catalog_xmin), 0) AS held_transactions,
    extract(
        epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz
    )::float8 AS inactive_seconds
FROM pg_replication_slots AS s
CROSS JOIN (
    SELECT
        CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
            AS lsn
) AS here
WHERE (to_jsonb(s) ->> 'synced')::boolean IS NOT TRUE
ORDER BY held_bytes DESC, name

-- name: count_rows
-- Rows of a table, counted up to a limit. Privilege: SELECT on one of its columns.
SELECT {oid}, count(*) FROM (SELECT FROM {table} LIMIT {limit}) AS counted

-- name: sequential_scans
-- Large tables that are mostly read from end to end, since the statistics were reset.
-- Privilege: none.
SELECT
    c.oid::regclass::text AS name,
    c.relname::text AS table_name,
    round(c.reltuples)::bigint AS analyzed_rows,
    s.seq_scan AS sequential_scans,
    coalesce(s.idx_scan, 0) AS index_scans
FROM pg_stat_user_tables AS s
JOIN pg_class AS c ON c.oid = s.relid
WHERE c.reltuples >= %(min_rows)s
    AND s.seq_scan >= %(min_scans)s
    -- Many scans of a part: an EXISTS or LIMIT that stopped early is none to worry about.
    AND s.seq_tup_read >= s.seq_scan * c.reltuples / 2
ORDER BY s.seq_tup_read DESC

-- name: setting_source
-- The source of a setting's value. Privilege: none.
SELECT source FROM pg_settings WHERE name = %(name)s

-- name: settings
-- Server settings by name, as text. Privilege: none.
SELECT name, current_setting(name) AS value
FROM pg_settings
WHERE name = ANY (%(names)s)

-- name: settings_file_errors
-- Errors of postgresql.conf and postgresql.auto.conf; what only waits for a restart has one, too.
-- Privilege: superuser, or SELECT on the view and EXECUTE on its function.
SELECT coalesce(f.sourcefile, 'postgresql.conf') AS file, f.sourceline AS line, f.name, f.error
FROM pg_file_settings AS f
WHERE f.error IS NOT NULL
ORDER BY file, line

-- name: shared_buffers
-- The server's own cache, and what there is to cache.
-- Privilege: CONNECT on the database or pg_read_all_stats, else the size is NULL.
SELECT
    pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers_bytes,
    CASE
        WHEN has_database_privilege(current_database(), 'CONNECT')
            OR pg_has_role('pg_read_all_stats', 'USAGE')
        THEN pg_database_size(current_database())
    END AS database_bytes

-- name: slow_statements
-- The slowest statements of this database by their mean time. Only those whose texts are kept
-- without the values: others, such as ALTER ROLE, could show a secret. Statements that ran once or
-- twice tell little. Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    s.queryid::text AS id,
    s.userid::bigint AS user_oid,
    s.dbid::bigint AS database_oid,
    s.calls,
    s.mean_exec_time / 1000 AS mean_seconds,
    regexp_replace(s.query, '\s+', ' ', 'g') AS text
FROM {schema}.pg_stat_statements AS s
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND s.calls >= %(min_calls)s
    AND s.query ~* '^\s*(select|insert|update|delete|merge|with)\M'
ORDER BY s.mean_exec_time DESC
LIMIT 3

-- name: spilled
-- The temporary files that sorts and hashes of this database wrote since the statistics were reset.
-- Privilege: none.
SELECT
    temp_files,
    temp_bytes::bigint,
    pg_size_bytes(current_setting('work_mem')) AS work_mem_bytes
FROM pg_stat_database
WHERE datname = current_database()

-- name: standby_replay
-- How this standby follows its primary. Privilege: none.
SELECT
    pg_is_wal_replay_paused() AS is_paused,
    EXISTS (SELECT FROM pg_stat_wal_receiver) AS is_connected,
    current_setting('restore_command') <> '' AS has_archive,
    coalesce(pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(), false) AS has_replayed_all,
    greatest(
        extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())
        - (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'recovery_min_apply_delay'),
        0
    )::float8 AS age_seconds

-- name: statements_extension
-- The schema of pg_stat_statements in this database, and if the server loads it.
-- Privilege: none; the list of loaded libraries is only shown to pg_read_all_settings.
SELECT
    (
        SELECT n.nspname::text
        FROM pg_extension AS e
        JOIN pg_namespace AS n ON n.oid = e.extnamespace
        WHERE e.extname = 'pg_stat_statements'
    ) AS schema,
    EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max') AS is_loaded

-- name: statistics_age
-- For how long the statistics of this database have been counting; NULL where they were never
-- reset. Privilege: none.
SELECT extract(epoch FROM clock_timestamp() - stats_reset)::float8 AS counted_seconds
FROM pg_stat_database
WHERE datname = current_database()

-- name: structure
-- The objects of Aperture's schema by their kinds: columns with their types, constraints and indexes
-- with definitions that name no schema; one row a kind. Privilege: none.
WITH place AS (
    SELECT oid, quote_ident(nspname) || '.' AS prefix
    FROM pg_namespace
    WHERE nspname = %(schema)s
), tables AS (
    SELECT c.oid, c.relname, p.prefix
    FROM pg_class AS c
    JOIN place AS p ON p.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p')
), objects (kind, name, definition) AS (
    SELECT 'tables' AS kind, relname::text AS name, '' AS definition
    FROM tables
    UNION ALL
    SELECT
        'columns',
        format('%%s.%%s', t.relname, a.attname),
        regexp_replace(format_type(a.atttypid, a.atttypmod), '^.*[.]', '')
    FROM tables AS t
    JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT
        'constraints',
        format('%%s.%%s', t.relname, k.conname),
        replace(pg_get_constraintdef(k.oid), t.prefix, '')
    FROM tables AS t
    JOIN pg_constraint AS k ON k.conrelid = t.oid
    UNION ALL
    SELECT 'indexes', i.relname, replace(pg_get_indexdef(i.oid), t.prefix, '')
    FROM tables AS t
    JOIN pg_index AS x ON x.indrelid = t.oid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    UNION ALL
    SELECT 'triggers', format('%%s.%%s', t.relname, g.tgname), ''
    FROM tables AS t
    JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
    UNION ALL
    SELECT 'functions', replace(f.oid::regprocedure::text, p.prefix, ''), ''
    FROM place AS p
    JOIN pg_proc AS f ON f.pronamespace = p.oid
)
SELECT kind, json_object_agg(name, definition)
FROM objects
GROUP BY kind

-- name: synchronous_standbys
-- The standbys that commits wait for, and how many of them are connected. Without
-- synchronous_commit nothing waits. Privilege: pg_monitor (or pg_read_all_stats).
SELECT
    current_setting('synchronous_standby_names') AS names,
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')) AS connected
WHERE current_setting('synchronous_commit') NOT IN ('off', 'local')

-- name: tls
-- TLS as the server offers it, and as this session uses it. Privilege: none.
SELECT
    current_setting('ssl') = 'on' AS is_offered,
    s.version
FROM (SELECT pg_backend_pid() AS pid) AS me
LEFT JOIN pg_stat_ssl AS s ON s.pid = me.pid AND s.ssl

-- name: unfinished_runs
-- Runs of Aperture with the status running, and how long ago the first of them did something.
-- Privilege: SELECT on the table.
SELECT
    count(*) AS runs,
    extract(epoch FROM clock_timestamp() - min({since}))::float8 AS oldest_seconds
FROM {table}
WHERE status = 'running'
HAVING count(*) > 0

-- name: unknown_jobs
-- Schedules of jobs whose names are not those of the code. Privilege: SELECT on job_config.
SELECT job_name AS name, coalesce(is_enabled AND schedule_type <> 'manual', false) AS is_scheduled
FROM {schema}.job_config
WHERE job_name <> ALL (%(known)s)
ORDER BY name

-- name: wraparound
-- The age of the oldest transaction and multixact id of each database, without those that an
-- interrupted DROP DATABASE left: nothing needs their ids any more.
-- Privilege: none.
SELECT
    datname::text AS database,
    greatest(age(datfrozenxid), mxid_age(datminmxid))::bigint AS age,
    mxid_age(datminmxid) > age(datfrozenxid) AS are_multixacts,
    datname = current_database() AS is_current,
    datallowconn AS may_connect
FROM pg_database
WHERE datconnlimit <> -2
ORDER BY age DESC

-- name: writable
-- Obstacles to writing: a standby, or a setting that makes transactions read-only, and its source.
-- Privilege: none.
SELECT
    pg_is_in_recovery() AS is_standby,
    s.setting = 'on' AS is_read_only,
    s.source,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8
        AS replayed_seconds_ago
FROM pg_settings AS s
WHERE s.name = 'default_transaction_read_only'
