-- name: add_key
-- Add the foreign key again as it was, which checks the rows that stay.
-- Privilege: owner of the table, and REFERENCES on the other one.
ALTER TABLE {table} ADD CONSTRAINT {name} {definition}

-- name: auto_requests
-- Which media types Top Picks requests from Seerr by itself.
-- Privilege: SELECT on top_picks_config.
SELECT movies_auto_request_enabled IS TRUE, series_auto_request_enabled IS TRUE FROM {table}

-- name: begin
-- Whether the server counts what is written to tables, and this transaction's id.
-- Privilege: none.
SELECT current_setting('track_counts')::boolean, pg_current_xact_id()::text

-- name: comment_key
-- Give a foreign key its comment back. Privilege: owner of the table.
COMMENT ON CONSTRAINT {name} ON {table} IS {comment}

-- name: conversations
-- Chats that may name titles by the ids they have now. Privilege: SELECT on the table.
SELECT count(*) FROM {table}

-- name: count_effect
-- Rows of one table: all, those that go, and those that each change concerns.
-- Privilege: SELECT on the table and on those that its conditions look into.
SELECT
    {oid}::bigint AS oid,
    count(*) AS total,
    count(*) FILTER (WHERE {going}) AS going,
    ARRAY[{changed}]::bigint[] AS changed
FROM {table}

-- name: count_obstacle
-- Rows that stay and refer to rows that go, by a foreign key that forbids it.
-- Privilege: SELECT on both tables.
SELECT count(*) FROM {table} WHERE {condition}

-- name: custom_backup_path
-- Where backups go, when that is not Aperture's default. Privilege: SELECT on backup_config.
SELECT backup_path FROM {table} WHERE id = 1 AND backup_path <> '/backups'

-- name: delete_rows
-- Delete rows of a table that is shared. Privilege: DELETE and SELECT on the table.
DELETE FROM {table} WHERE {condition}

-- name: dependents
-- What depends on these tables and functions without being a part of them: views, foreign keys,
-- triggers and defaults of other tables, functions. Privilege: none.
SELECT DISTINCT
    CASE
        WHEN r.oid IS NOT NULL THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
        ELSE pg_describe_object(d.classid, d.objid, d.objsubid)
    END AS object
FROM pg_depend AS d
LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_trigger AS t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_attrdef AS a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
LEFT JOIN pg_policy AS y ON d.classid = 'pg_policy'::regclass AND y.oid = d.objid
LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE d.deptype = 'n'
    AND (
        (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(tables)s::oid[]))
        OR (d.refclassid = 'pg_proc'::regclass AND d.refobjid = ANY (%(functions)s::oid[]))
    )
    AND coalesce(k.conrelid, t.tgrelid, r.ev_class, a.adrelid, y.polrelid, c.oid, 0)
        <> ALL (%(tables)s::oid[])
    AND NOT (d.classid = 'pg_proc'::regclass AND d.objid = ANY (%(functions)s::oid[]))
ORDER BY object

-- name: drop_functions
-- Drop Aperture's functions. Privilege: owner of each.
DROP FUNCTION {functions}

-- name: drop_key
-- Drop a foreign key for the time of a TRUNCATE. Privilege: owner of the table.
ALTER TABLE {table} DROP CONSTRAINT {name}

-- name: drop_tables
-- Drop Aperture's tables. Not CASCADE: what others made on them must not go unseen.
-- Privilege: owner of each.
DROP TABLE {tables}

-- name: export_ratings
-- The ratings that go, by names and ids that outlive a purge. Privilege: SELECT on the tables.
COPY (
    SELECT
        u.username,
        r.rating,
        r.source,
        CASE WHEN r.movie_id IS NULL THEN 'series' ELSE 'movie' END AS media_type,
        coalesce(m.title, s.title) AS title,
        coalesce(m.year, s.year) AS year,
        coalesce(m.imdb_id, s.imdb_id) AS imdb_id,
        coalesce(m.tmdb_id, s.tmdb_id) AS tmdb_id,
        s.tvdb_id,
        coalesce(m.provider_item_id, s.provider_item_id) AS provider_item_id,
        r.created_at
    FROM (SELECT * FROM {ratings} WHERE {going}) AS r
    JOIN users AS u ON u.id = r.user_id
    LEFT JOIN movies AS m ON m.id = r.movie_id
    LEFT JOIN series AS s ON s.id = r.series_id
    ORDER BY u.username, media_type, title
) TO STDOUT WITH (FORMAT csv, HEADER)

-- name: footprints
-- What this session has written to each table so far, and the file that holds each. The counters
-- may begin with those of an earlier transaction, so only their difference tells.
-- Privilege: none.
SELECT
    c.oid,
    c.relname AS name,
    pg_stat_get_xact_tuples_inserted(c.oid) AS inserted,
    pg_stat_get_xact_tuples_updated(c.oid) AS updated,
    pg_stat_get_xact_tuples_deleted(c.oid) AS deleted,
    c.relfilenode AS file
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
    AND c.relpersistence <> 't'
    AND n.nspname <> 'information_schema'
    AND n.nspname !~ '^pg_'

-- name: functions
-- Functions by their bare names that no extension brought. Privilege: none.
SELECT
    p.oid,
    p.proname AS name,
    p.oid::regprocedure::text AS signature,
    pg_get_userbyid(p.proowner) AS owner,
    pg_has_role(p.proowner, 'USAGE') AS is_owner
FROM pg_proc AS p
WHERE p.proname = ANY (%(names)s)
    AND pg_function_is_visible(p.oid)
    AND NOT EXISTS (
        SELECT
        FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY signature

-- name: is_history
-- Whether no transaction that writes, in whichever database, is older than the given one has been.
-- Privilege: none.
SELECT pg_snapshot_xmin(pg_current_snapshot()) > %(xid)s::xid8

-- name: key_definitions
-- Foreign keys that can be dropped and added again without a trace: not a partition's, and none of
-- their triggers is disabled (adding the key again would enable it). Privilege: none.
SELECT
    k.conrelid AS table_oid,
    k.conname AS name,
    pg_get_constraintdef(k.oid) AS definition,
    obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_class AS r ON r.oid = k.confrelid
WHERE k.contype = 'f'
    AND k.conparentid = 0
    AND c.relkind = 'r'
    AND r.relkind = 'r'
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgconstraint = k.oid AND t.tgenabled <> 'O'
    )

-- name: lock_out_runners
-- Try for the lock that all runners of migrations of this tool share, until the transaction ends.
-- Privilege: none.
SELECT pg_try_advisory_xact_lock(%(lock_key)s)

-- name: lock_table
-- Lock one table, waiting at most as long as is left of the whole wait.
-- Privilege: DELETE, UPDATE or TRUNCATE on the table.
SET LOCAL lock_timeout = {timeout};
LOCK TABLE {table} IN {mode} MODE

-- name: locked_profiles
-- Taste profiles that users have locked and that hold something. Privilege: SELECT on the table.
SELECT count(*) FROM {table} WHERE is_locked AND embedding IS NOT NULL AND {in_scope}

-- name: own_function
-- Give a function back to its owner. Privilege: the right to set that role.
ALTER FUNCTION {function} OWNER TO {owner}

-- name: own_table
-- Give a table back to its owner. Privilege: the right to set that role.
ALTER TABLE {table} OWNER TO {owner}

-- name: ratings
-- The ratings that go: how many, and of those from Trakt how many belong to users who are not
-- connected to it. Privilege: SELECT on user_ratings and users.
SELECT
    r.source,
    count(*) AS rows,
    count(*) FILTER (WHERE NOT {is_connected}) AS unconnected_rows
FROM (SELECT user_id, source FROM {ratings} WHERE {going}) AS r
JOIN {users} AS u ON u.id = r.user_id
GROUP BY r.source
ORDER BY r.source

-- name: running
-- Rows of jobs that have not said that they ended; a crash leaves such rows behind, too.
-- Privilege: SELECT on the table.
SELECT
    {name} AS name,
    count(*) AS rows,
    extract(epoch FROM now() - max(created_at))::float8 AS age_seconds
FROM {table}
WHERE status = 'running'
HAVING count(*) > 0

-- name: shrink
-- Give the space of deleted rows back, without waiting for a lock.
-- Privilege: owner of the table.
VACUUM ({options}) {table}

-- name: storage
-- The file that holds a table, another one after VACUUM FULL, and the table's size with all that
-- belongs to it. Privilege: none.
SELECT pg_relation_filenode(%(oid)s) AS file, pg_total_relation_size(%(oid)s) AS total_bytes

-- name: strm_libraries
-- The virtual libraries that Aperture made on the media server.
-- Privilege: SELECT on strm_libraries.
SELECT name, path FROM {table} ORDER BY name, path

-- name: top_picks_enabled
-- Whether Top Picks is in use. Privilege: SELECT on top_picks_config.
SELECT count(*) FROM {table} WHERE is_enabled

-- name: truncate
-- Empty whole tables; all that refer to one of them are among them.
-- Privilege: TRUNCATE on each.
TRUNCATE {tables}

-- name: update_rows
-- Give columns another value. Privilege: UPDATE and SELECT on the table.
UPDATE {table} SET {assignments} WHERE {condition}

-- name: watching_of_disabled
-- Series that users watch whose list no job fetches again. Privilege: SELECT on both tables.
SELECT count(*)
FROM {watching} AS w
JOIN {users} AS u ON u.id = w.user_id
WHERE NOT u.is_enabled
