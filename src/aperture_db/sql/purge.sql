-- name: count_effect
-- Rows of one table: all, those to delete, and those that each change concerns.
-- Privilege: SELECT on the table and on those that its conditions look into.
SELECT
    {oid}::bigint AS oid,
    count(*) AS total,
    count(*) FILTER (WHERE {deleted}) AS deleted,
    ARRAY[{changed}]::bigint[] AS changed
FROM {table}

-- name: dependents
-- Objects that depend on these tables and functions without being a part of them: views, foreign keys,
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
    -- A publication's table or extended statistics belong to one of the tables.
    AND NOT EXISTS (
        SELECT
        FROM pg_depend AS part
        WHERE part.classid = d.classid
            AND part.objid = d.objid
            AND part.deptype = 'a'
            AND part.refclassid = 'pg_class'::regclass
            AND part.refobjid = ANY (%(tables)s::oid[])
    )
ORDER BY object

-- name: export_ratings
-- The ratings to delete, by names and ids that outlive a purge. Privilege: SELECT on the tables.
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
    FROM (SELECT * FROM {ratings} WHERE {deleted}) AS r
    JOIN {users} AS u ON u.id = r.user_id
    LEFT JOIN {movies} AS m ON m.id = r.movie_id
    LEFT JOIN {series} AS s ON s.id = r.series_id
    ORDER BY u.username, media_type, title
) TO STDOUT WITH (FORMAT csv, HEADER)

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
    AND p.pronamespace = to_regnamespace(quote_ident({schema_name}))
    AND NOT EXISTS (
        SELECT
        FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
ORDER BY signature

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

-- name: write_counters
-- Rows that this session has written to each table so far, and the file that holds each. The counters
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
    -- The tool's own schema is where the purge keeps user data.
    AND n.nspname NOT IN ('information_schema', 'aperture_db')
    AND n.nspname !~ '^pg_'
