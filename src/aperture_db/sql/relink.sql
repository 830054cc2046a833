-- name: create
-- Purpose: create the tables of what is kept for relink.
-- Privilege: CREATE on schema aperture_db; the creator owns them.
CREATE TABLE IF NOT EXISTS aperture_db.kept_users (
    user_id uuid PRIMARY KEY,
    provider text,
    provider_user_id text,
    username text NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE aperture_db.kept_users IS
    'Users of Aperture whose rows are kept, by ids that outlive a new database';
CREATE TABLE IF NOT EXISTS aperture_db.kept_titles (
    id bigint GENERATED ALWAYS AS IDENTITY,
    old_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('movie', 'series', 'episode')),
    title text NOT NULL,
    year integer,
    original_title text,
    imdb_id text,
    tmdb_id text,
    tvdb_id text,
    path text,
    item_id text,
    server text,
    series_id uuid,
    season integer,
    episode integer,
    premiere_date date,
    kept_at timestamptz NOT NULL DEFAULT now(),
    chosen_id uuid,
    linked_id uuid,
    linked_at timestamptz
);
COMMENT ON TABLE aperture_db.kept_titles IS
    'Identities of films, series and episodes that were deleted or may be';
COMMENT ON COLUMN aperture_db.kept_titles.old_id IS 'id in movies, series or episodes';
COMMENT ON COLUMN aperture_db.kept_titles.server IS 'type and base URL of the media server';
COMMENT ON COLUMN aperture_db.kept_titles.chosen_id IS 'new id that relink --match chose';
COMMENT ON COLUMN aperture_db.kept_titles.linked_id IS 'new id that relink --apply found last';
CREATE TABLE IF NOT EXISTS aperture_db.kept_rows (
    id bigint GENERATED ALWAYS AS IDENTITY,
    source text NOT NULL,
    row_id uuid NOT NULL,
    user_id uuid NOT NULL,
    title_id bigint,
    content jsonb NOT NULL,
    changed_at timestamptz,
    origin text NOT NULL CHECK (origin IN ('purge', 'keep', 'import')),
    kept_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    outcome text
);
COMMENT ON TABLE aperture_db.kept_rows IS 'User-made rows that pointed at the kept titles';
COMMENT ON COLUMN aperture_db.kept_rows.source IS 'table of Aperture';
COMMENT ON COLUMN aperture_db.kept_rows.title_id IS 'kept_titles.id';
COMMENT ON COLUMN aperture_db.kept_rows.origin IS
    'purge: the row was deleted; keep: it was left in place; import: it came from a file';

-- name: create_indexes
-- Purpose: index what is kept. The first time only when it is in, which takes half the time.
-- Privilege: ownership of the tables.
CREATE UNIQUE INDEX IF NOT EXISTS kept_titles_id ON aperture_db.kept_titles (id);
CREATE INDEX IF NOT EXISTS kept_titles_old_id ON aperture_db.kept_titles (old_id);
CREATE UNIQUE INDEX IF NOT EXISTS kept_rows_id ON aperture_db.kept_rows (id);
CREATE UNIQUE INDEX IF NOT EXISTS kept_rows_row ON aperture_db.kept_rows (row_id, source);
CREATE INDEX IF NOT EXISTS kept_rows_waiting ON aperture_db.kept_rows (id) WHERE done_at IS NULL;

-- name: keep_users
-- Purpose: keep the identities of all users. Privilege: SELECT on users, INSERT and UPDATE on kept_users.
INSERT INTO aperture_db.kept_users AS kept (user_id, provider, provider_user_id, username)
SELECT u.id, u.provider, u.provider_user_id, u.username
FROM {users} AS u
ON CONFLICT (user_id) DO UPDATE
SET provider = excluded.provider,
    provider_user_id = excluded.provider_user_id,
    username = excluded.username,
    kept_at = excluded.kept_at

-- name: refresh_titles
-- Purpose: renew kept identities of titles that are still the same. Ids that the media server has
-- lost since are left as they were. Privilege: SELECT on the table, UPDATE on kept_titles.
UPDATE aperture_db.kept_titles AS kept
SET title = t.title,
    year = coalesce(t.year, kept.year),
    original_title = coalesce(t.original_title, kept.original_title),
    imdb_id = coalesce(t.imdb_id, kept.imdb_id),
    tmdb_id = coalesce(t.tmdb_id, kept.tmdb_id),
    tvdb_id = coalesce(t.tvdb_id, kept.tvdb_id),
    path = coalesce(t.path, kept.path),
    item_id = t.item_id,
    server = {server},
    series_id = t.series_id,
    season = t.season,
    episode = t.episode,
    premiere_date = coalesce(t.premiere_date, kept.premiere_date),
    kept_at = now()
FROM ({titles}) AS t
WHERE kept.old_id = t.id AND {is_same}

-- name: keep_titles
-- Purpose: keep the identities of titles that are not kept yet, or kept as something else: a media
-- server that gives item ids out again makes Aperture overwrite rows with other titles.
-- Privilege: SELECT on the table, SELECT and INSERT on kept_titles.
INSERT INTO aperture_db.kept_titles (
    old_id, kind, title, year, original_title, imdb_id, tmdb_id, tvdb_id, path, item_id, server,
    series_id, season, episode, premiere_date
)
SELECT
    t.id, {kind}, t.title, t.year, t.original_title, t.imdb_id, t.tmdb_id, t.tvdb_id, t.path,
    t.item_id, {server}, t.series_id, t.season, t.episode, t.premiere_date
FROM ({titles}) AS t
WHERE NOT EXISTS (
    SELECT FROM aperture_db.kept_titles AS kept WHERE kept.old_id = t.id AND {is_same}
)

-- name: analyze_titles
-- Purpose: let the rows' titles be found by hashing; without statistics both are sorted, on disk.
-- Privilege: ownership of the table.
ANALYZE aperture_db.kept_titles (old_id);

-- name: is_same_title
-- Purpose: whether a kept title still is the title of that id: an id agrees, or none differs and
-- title and year are the same; a year may be filled in later. 0 and tt0000000 are no ids. Privilege: none.
kept.kind = {kind}
AND (
    (kept.imdb_id = t.imdb_id AND t.imdb_id ~ '[1-9]')
    OR (kept.tmdb_id = t.tmdb_id AND t.tmdb_id ~ '[1-9]')
    OR (kept.tvdb_id = t.tvdb_id AND t.tvdb_id ~ '[1-9]')
    OR (
        (kept.imdb_id = t.imdb_id OR kept.imdb_id !~ '[1-9]' OR t.imdb_id !~ '[1-9]') IS NOT FALSE
        AND (kept.tmdb_id = t.tmdb_id OR kept.tmdb_id !~ '[1-9]' OR t.tmdb_id !~ '[1-9]')
            IS NOT FALSE
        AND (kept.tvdb_id = t.tvdb_id OR kept.tvdb_id !~ '[1-9]' OR t.tvdb_id !~ '[1-9]')
            IS NOT FALSE
        AND kept.title = t.title
        AND (kept.year = t.year) IS NOT FALSE
        AND kept.season IS NOT DISTINCT FROM t.season
        AND kept.episode IS NOT DISTINCT FROM t.episode
    )
)

-- name: titles
-- Purpose: titles with what identifies them. Privilege: SELECT on the table.
SELECT {columns} FROM {table} AS t WHERE {condition}

-- name: keep_rows
-- Purpose: keep rows as they are, each with the identity of its title. A row that has not changed
-- since it was kept keeps the title that it was kept with.
-- Privilege: SELECT on the table, SELECT, INSERT and UPDATE on kept_titles and kept_rows.
INSERT INTO aperture_db.kept_rows AS kept (
    source, row_id, user_id, title_id, content, changed_at, origin
)
SELECT {source}, r.id, r.user_id, title.id, to_jsonb(r), {changed_at}, %(origin)s
FROM {table} AS r
{join_title}
WHERE {condition}
{if_kept}

-- name: renew_row
-- Purpose: the part of keep_rows for rows that are kept already. Privilege: UPDATE on kept_rows.
ON CONFLICT (source, row_id) DO UPDATE
SET user_id = excluded.user_id,
    title_id = CASE
        WHEN kept.done_at IS NULL AND kept.changed_at IS NOT DISTINCT FROM excluded.changed_at
        THEN kept.title_id ELSE excluded.title_id
    END,
    content = excluded.content,
    changed_at = excluded.changed_at,
    origin = excluded.origin,
    kept_at = excluded.kept_at,
    done_at = NULL,
    outcome = NULL

-- name: only_title_of_row
-- Purpose: the kept identity of a row's title, where each title was kept once.
-- Privilege: SELECT on kept_titles.
JOIN aperture_db.kept_titles AS title ON title.old_id = {title}

-- name: title_of_row
-- Purpose: the newest kept identity of a row's title. Privilege: SELECT on kept_titles.
JOIN LATERAL (
    SELECT k.id
    FROM aperture_db.kept_titles AS k
    WHERE k.old_id = {title}
    ORDER BY k.kept_at DESC, k.id DESC
    LIMIT 1
) AS title ON true

-- name: drop_deleted_rows
-- Purpose: mark rows as done that were kept in place and that their users have deleted since: title
-- and user are there, and the row is not. Privilege: SELECT on the tables, UPDATE on kept_rows.
UPDATE aperture_db.kept_rows AS kept
SET done_at = now(), outcome = 'deleted by its user'
FROM aperture_db.kept_titles AS title
WHERE kept.origin = 'keep'
    AND kept.done_at IS NULL
    AND kept.source = {source}
    AND title.id = kept.title_id
    AND title.kind = {kind}
    AND EXISTS (SELECT FROM {titles} AS t WHERE t.id = title.old_id)
    AND EXISTS (SELECT FROM {users} AS u WHERE u.id = kept.user_id)
    AND NOT EXISTS (SELECT FROM {table} AS r WHERE r.id = kept.row_id)

-- name: drop_purged_rows
-- Purpose: mark waiting rows of one table as done, because an administrator purged that table.
-- Privilege: UPDATE on kept_rows.
UPDATE aperture_db.kept_rows
SET done_at = now(), outcome = 'purged'
WHERE source = %(source)s AND done_at IS NULL

-- name: count_purged
-- Purpose: waiting rows of one table that are not in it. Privilege: SELECT on kept_rows, the table.
SELECT count(*)
FROM aperture_db.kept_rows AS kept
WHERE kept.source = {source}
    AND kept.done_at IS NULL
    AND NOT EXISTS (SELECT FROM {table} AS r WHERE r.id = kept.row_id)

-- name: count_rows
-- Purpose: how many rows of one table would be kept. Privilege: SELECT on the table.
SELECT count(*) FROM {table} AS r WHERE {condition}

-- name: kept_titles
-- Purpose: everything that is kept of titles. Privilege: SELECT on kept_titles.
SELECT
    old_id AS id, kind, title, year, original_title, imdb_id, tmdb_id, tvdb_id, path, item_id,
    server, series_id, season, episode, premiere_date, kept_at, id AS kept_id, chosen_id
FROM aperture_db.kept_titles
ORDER BY id

-- name: waiting_rows
-- Purpose: the kept rows that are not put back yet, the newest first, so that it wins where two old
-- titles have become one. Privilege: SELECT on kept_rows.
SELECT id, source, row_id, user_id, title_id, origin, kept_at, content ->> 'media_type' AS media_type
FROM aperture_db.kept_rows
WHERE done_at IS NULL
ORDER BY changed_at DESC NULLS LAST, id

-- name: kept_users
-- Purpose: the users whose rows are kept. Privilege: SELECT on kept_users.
SELECT user_id, provider, provider_user_id, username FROM aperture_db.kept_users

-- name: present_users
-- Purpose: the users that are there. Privilege: SELECT on users.
SELECT
    u.id AS user_id, u.provider, u.provider_user_id, u.username, {is_enabled} AS is_enabled,
    u.id IN ({unread}) AS is_unread
FROM {users} AS u

-- name: present_rows
-- Purpose: of the kept rows of a table, those that are there under the id of their title.
-- Privilege: SELECT on the table.
SELECT kept.id
FROM aperture_db.kept_rows AS kept
JOIN aperture_db.kept_titles AS title ON title.id = kept.title_id
JOIN {table} AS r ON r.id = kept.row_id AND {title} = title.old_id
WHERE kept.done_at IS NULL AND kept.source = {source} AND kept.origin <> 'keep'

-- name: present_watching
-- Purpose: the series that users watch, as pairs. Privilege: SELECT on user_watching_series.
SELECT user_id, series_id FROM {watching}

-- name: series_without_favorites_sync
-- Purpose: of these series, those that no completed run of the job has seen yet: for them the list
-- of series being watched is not back. Privilege: SELECT on series and job_runs.
SELECT s.id
FROM {series} AS s
WHERE s.id = ANY (%(series)s)
    AND NOT EXISTS (
        SELECT FROM {job_runs} AS run
        WHERE run.job_name = %(job)s
            AND run.status = 'completed'
            AND run.started_at > s.created_at
    )

-- name: setting
-- Purpose: one setting of Aperture. Privilege: SELECT on system_settings.
SELECT value FROM {settings} WHERE key = %(key)s

-- name: referring_rows
-- Purpose: one page of the rows whose column may name titles, with their owner.
-- Privilege: SELECT on the table, and on the one that names the owner.
SELECT r.id, {owner} AS owner, r.{column}::text AS value
FROM {table} AS r {join}
WHERE r.id > %(after)s AND r.{column} IS NOT NULL
ORDER BY r.id
LIMIT %(page)s

-- name: lock_titles
-- Purpose: keep titles from being deleted until the transaction ends; those that are gone are left
-- out. Privilege: SELECT and UPDATE on the table.
SELECT t.id FROM {table} AS t WHERE t.id = ANY (%(ids)s) ORDER BY t.id FOR KEY SHARE

-- name: replace_references
-- Purpose: write the new ids into rows that have not changed since they were read.
-- Privilege: SELECT and UPDATE on the table.
UPDATE {table} AS r
SET {column} = change.new_value::{type}
FROM unnest(%(ids)s::uuid[], %(old)s::text[], %(new)s::text[]) AS change (id, old_value, new_value)
WHERE r.id = change.id AND r.{column}::text = change.old_value
RETURNING r.id

-- name: misplaced_rows
-- Purpose: kept rows that are there unchanged, with the title that they name now.
-- Privilege: SELECT on the table and on kept_rows.
SELECT kept.id, r.id, r.user_id, r.{title} AS title_id
FROM aperture_db.kept_rows AS kept
JOIN {table} AS r ON r.id = kept.row_id
WHERE kept.id = ANY (%(rows)s)
    AND kept.done_at IS NULL
    AND {changed_at}::timestamptz IS NOT DISTINCT FROM kept.changed_at

-- name: rows_of_titles
-- Purpose: the rows of these users about these titles. Privilege: SELECT on the table.
SELECT r.id, r.user_id, r.{title} AS title_id
FROM {table} AS r
WHERE r.user_id = ANY (%(users)s) AND r.{title} = ANY (%(titles)s)

-- name: move_rows
-- Purpose: have rows that are unchanged name other titles, and mark them as done. Two rows may
-- change places, which unique indexes refuse of an UPDATE: all rows are deleted before the first is
-- inserted again. Returns the keys of the kept rows.
-- Privilege: SELECT, INSERT and DELETE on the table, UPDATE on kept_rows.
WITH moved AS (
    DELETE FROM {table} AS r
    USING unnest(%(rows)s::bigint[], %(ids)s::uuid[], %(titles)s::uuid[])
        AS link (kept_id, row_id, new_title_id),
        aperture_db.kept_rows AS kept
    WHERE r.id = link.row_id
        AND kept.id = link.kept_id
        AND kept.done_at IS NULL
        AND {changed_at}::timestamptz IS NOT DISTINCT FROM kept.changed_at
    RETURNING r.*, link.new_title_id, link.kept_id
),
inserted AS (
    INSERT INTO {table} ({columns})
    SELECT {values}
    FROM moved AS r
    WHERE (SELECT count(*) FROM moved) > 0
)
UPDATE aperture_db.kept_rows
SET done_at = now(), outcome = 'put back'
WHERE id IN (SELECT kept_id FROM moved)
RETURNING id

-- name: put_back
-- Purpose: insert kept rows with the new ids of their titles, and mark them as done, in one
-- statement. Rows of the same user and title that are there already win; a row whose id is taken
-- gets another one. Rows whose title or user has gone meanwhile wait on, as does what could not be
-- inserted. Privilege: SELECT and UPDATE on the tables of titles and users, INSERT on the table.
WITH wanted AS (
    SELECT kept.id, kept.row_id, kept.content, link.title_id, link.user_id, link.may_insert, link.position
    FROM unnest(%(rows)s::bigint[], %(titles)s::uuid[], %(users)s::uuid[], %(may_insert)s::boolean[])
        WITH ORDINALITY AS link (row, title_id, user_id, may_insert, position)
    JOIN aperture_db.kept_rows AS kept ON kept.id = link.row
    WHERE kept.done_at IS NULL
    ORDER BY kept.id
    FOR UPDATE OF kept
),
title AS (
    SELECT t.id FROM {titles} AS t WHERE t.id IN (SELECT title_id FROM wanted) FOR KEY SHARE
),
owner AS (
    SELECT u.id FROM {users} AS u WHERE u.id IN (SELECT user_id FROM wanted) FOR KEY SHARE
),
ready AS (
    SELECT
        wanted.*,
        EXISTS (
            SELECT FROM {table} AS r
            WHERE r.user_id = wanted.user_id AND r.{title_name} = wanted.title_id
        ) AS is_there
    FROM wanted
    JOIN title ON title.id = wanted.title_id
    JOIN owner ON owner.id = wanted.user_id
),
chosen AS (
    SELECT DISTINCT ON (user_id, title_id) *
    FROM ready
    WHERE may_insert AND NOT is_there
    ORDER BY user_id, title_id, position
),
inserted AS (
    INSERT INTO {table} ({columns})
    SELECT {values}
    FROM chosen
    CROSS JOIN LATERAL jsonb_populate_record(
        NULL::{table},
        chosen.content
        || jsonb_build_object({title_column}::text, chosen.title_id, 'user_id', chosen.user_id)
        || CASE
            WHEN EXISTS (SELECT FROM {table} AS other WHERE other.id = chosen.row_id)
            THEN jsonb_build_object('id', gen_random_uuid())
            ELSE '{{}}'
        END
    ) AS r
    ON CONFLICT DO NOTHING
    RETURNING user_id, {title}
),
{renewed}
UPDATE aperture_db.kept_rows AS kept
SET done_at = now(),
    outcome = CASE
        WHEN chosen.id IS NOT NULL AND inserted.user_id IS NOT NULL THEN 'put back'
        WHEN renewed.user_id IS NOT NULL THEN 'put back'
        ELSE 'another row was there'
    END
FROM ready
LEFT JOIN chosen ON chosen.id = ready.id
LEFT JOIN inserted ON inserted.user_id = ready.user_id AND inserted.title_id = ready.title_id
LEFT JOIN renewed ON renewed.user_id = ready.user_id AND renewed.title_id = ready.title_id
WHERE kept.id = ready.id
    AND (
        inserted.user_id IS NOT NULL
        OR renewed.user_id IS NOT NULL
        OR (ready.may_insert AND ready.is_there)
    )
RETURNING ready.user_id, kept.outcome

-- name: renew_nothing
-- Purpose: the part of put_back for tables whose existing rows are left alone. Privilege: none.
renewed AS (SELECT NULL::uuid AS user_id, NULL::uuid AS title_id WHERE false)

-- name: renew_added_at
-- Purpose: the part of put_back for the list of series being watched: rows that a sync has brought
-- back get the time at which the user had added them. Privilege: UPDATE on the table.
renewed AS (
    UPDATE {table} AS r
    SET added_at = least(r.added_at, (ready.content ->> 'added_at')::timestamptz)
    FROM ready
    WHERE r.user_id = ready.user_id AND r.series_id = ready.title_id
    RETURNING r.user_id, r.series_id AS title_id
)

-- name: age_profiles
-- Purpose: have the taste profiles of users with new ratings rebuilt by the next recommendations.
-- Privilege: SELECT and UPDATE on user_taste_profiles.
UPDATE {profiles} AS p
SET auto_updated_at = NULL
WHERE p.user_id = ANY (%(users)s)
    AND p.media_type = %(media_type)s
    AND p.is_locked IS NOT TRUE
    AND p.auto_updated_at IS NOT NULL

-- name: restore_profile
-- Purpose: give a locked taste profile back what a purge has reset. One that was built anew since is
-- left alone; one of another model than the profiles of today waits.
-- Privilege: SELECT and UPDATE on user_taste_profiles.
WITH kept AS (
    SELECT id, row_id, content
    FROM aperture_db.kept_rows
    WHERE id = %(row)s AND done_at IS NULL
    FOR UPDATE
),
restored AS (
    UPDATE {profiles} AS p
    SET embedding = (kept.content ->> 'embedding')::{type},
        embedding_model = kept.content ->> 'embedding_model',
        auto_updated_at = (kept.content ->> 'auto_updated_at')::timestamptz
    FROM kept
    WHERE p.id = kept.row_id
        AND p.embedding IS NULL
        AND kept.content ->> 'embedding_model' IS NOT DISTINCT FROM %(model)s
    RETURNING p.id
)
UPDATE aperture_db.kept_rows AS row
SET done_at = now(),
    outcome = CASE WHEN restored.id IS NULL THEN 'another row was there' ELSE 'put back' END
FROM kept
LEFT JOIN restored ON restored.id = kept.row_id
LEFT JOIN {profiles} AS built ON built.id = kept.row_id AND built.embedding IS NOT NULL
WHERE row.id = kept.id AND (restored.id IS NOT NULL OR built.id IS NOT NULL)
RETURNING row.outcome

-- name: finish_row
-- Purpose: mark kept rows as done that need nothing. Privilege: UPDATE on kept_rows.
UPDATE aperture_db.kept_rows
SET done_at = now(), outcome = %(outcome)s
WHERE id = ANY (%(rows)s) AND done_at IS NULL

-- name: note_links
-- Purpose: note which title each kept one has become. Privilege: UPDATE on kept_titles.
UPDATE aperture_db.kept_titles AS kept
SET linked_id = link.new_id, linked_at = now()
FROM unnest(%(kept)s::bigint[], %(new)s::uuid[]) AS link (id, new_id)
WHERE kept.id = link.id AND kept.linked_id IS DISTINCT FROM link.new_id

-- name: choose
-- Purpose: keep the decision of a person. Privilege: UPDATE on kept_titles.
UPDATE aperture_db.kept_titles SET chosen_id = %(new)s WHERE old_id = %(old)s RETURNING id

-- name: forget
-- Purpose: drop everything that is kept. Privilege: ownership of the tables.
DROP TABLE IF EXISTS aperture_db.kept_rows, aperture_db.kept_titles, aperture_db.kept_users

-- name: kept_columns
-- Purpose: the columns that each of these rows was kept with. Privilege: SELECT on kept_rows.
SELECT kept.id, ARRAY(SELECT key FROM jsonb_object_keys(kept.content) AS key)
FROM aperture_db.kept_rows AS kept
WHERE kept.id = ANY (%(rows)s)

-- name: insertable_columns
-- Purpose: the columns of a table into which a value can be written. Privilege: none.
SELECT a.attname
FROM pg_attribute AS a
WHERE a.attrelid = %(table)s
    AND a.attnum > 0
    AND NOT a.attisdropped
    AND a.attgenerated = ''
    AND a.attidentity <> 'a'

-- name: count_kept
-- Purpose: how much is kept. Privilege: SELECT on the tables.
SELECT
    current_database(),
    (SELECT count(*) FROM aperture_db.kept_titles),
    count(*) FILTER (WHERE done_at IS NULL),
    count(*) FILTER (WHERE done_at IS NOT NULL)
FROM aperture_db.kept_rows

-- name: column_types
-- Purpose: the types of tables' columns, ready for a cast. Privilege: none.
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute AS a
WHERE a.attrelid = ANY (%(tables)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped

-- name: export_users
-- Purpose: the users whose rows wait. Privilege: SELECT on kept_users and kept_rows.
SELECT to_jsonb(u)
FROM aperture_db.kept_users AS u
WHERE u.user_id IN (SELECT user_id FROM aperture_db.kept_rows WHERE done_at IS NULL)
ORDER BY u.username

-- name: export_titles
-- Purpose: all kept identities. Privilege: SELECT on kept_titles.
SELECT to_jsonb(t) - 'linked_id' - 'linked_at' - 'chosen_id'
FROM aperture_db.kept_titles AS t
ORDER BY t.id

-- name: export_rows
-- Purpose: the rows that wait. Privilege: SELECT on kept_rows.
SELECT to_jsonb(r) - 'id' - 'done_at' - 'outcome' - 'origin'
FROM aperture_db.kept_rows AS r
WHERE r.done_at IS NULL
ORDER BY r.id

-- name: import_users
-- Purpose: keep users from a file; those that are kept already are left as they are.
-- Privilege: SELECT and INSERT on kept_users.
INSERT INTO aperture_db.kept_users (user_id, provider, provider_user_id, username)
SELECT u.user_id, u.provider, u.provider_user_id, u.username
FROM jsonb_to_recordset(%(users)s::jsonb)
    AS u (user_id uuid, provider text, provider_user_id text, username text)
ON CONFLICT DO NOTHING

-- name: import_titles
-- Purpose: keep identities from a file that are not kept yet.
-- Privilege: SELECT and INSERT on kept_titles.
INSERT INTO aperture_db.kept_titles (
    old_id, kind, title, year, original_title, imdb_id, tmdb_id, tvdb_id, path, item_id, server,
    series_id, season, episode, premiere_date, kept_at
)
SELECT
    t.old_id, t.kind, t.title, t.year, t.original_title, t.imdb_id, t.tmdb_id, t.tvdb_id, t.path,
    t.item_id, t.server, t.series_id, t.season, t.episode, t.premiere_date,
    coalesce(t.kept_at, now())
FROM jsonb_to_recordset(%(titles)s::jsonb) AS t (
    old_id uuid, kind text, title text, year integer, original_title text, imdb_id text,
    tmdb_id text, tvdb_id text, path text, item_id text, server text, series_id uuid,
    season integer, episode integer, premiere_date date, kept_at timestamptz
)
WHERE NOT EXISTS (
    SELECT FROM aperture_db.kept_titles AS kept WHERE kept.old_id = t.old_id AND {is_same}
)

-- name: find_imported
-- Purpose: the key of each identity of a file, by its key in the file.
-- Privilege: SELECT on kept_titles.
SELECT DISTINCT ON (t.id) t.id, kept.id
FROM jsonb_to_recordset(%(titles)s::jsonb) AS t (
    id bigint, old_id uuid, kind text, title text, year integer, imdb_id text, tmdb_id text,
    tvdb_id text, season integer, episode integer
)
JOIN aperture_db.kept_titles AS kept ON kept.old_id = t.old_id AND {is_same}
ORDER BY t.id, kept.kept_at DESC, kept.id DESC

-- name: import_rows
-- Purpose: keep rows from a file. Those that wait here already are left alone; those that were put
-- back or purged wait again. Returns whether each kept one is new.
-- Privilege: SELECT, INSERT and UPDATE on kept_rows.
INSERT INTO aperture_db.kept_rows AS kept (
    source, row_id, user_id, title_id, content, changed_at, origin
)
SELECT r.source, r.row_id, r.user_id, r.title_id, r.content, r.changed_at, 'import'
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    source text, row_id uuid, user_id uuid, title_id bigint, content jsonb, changed_at timestamptz
)
ON CONFLICT (row_id, source) DO UPDATE
SET user_id = excluded.user_id,
    title_id = excluded.title_id,
    content = excluded.content,
    changed_at = excluded.changed_at,
    origin = excluded.origin,
    kept_at = excluded.kept_at,
    done_at = NULL,
    outcome = NULL
WHERE kept.done_at IS NOT NULL
-- No row was there before where no transaction has locked or deleted it.
RETURNING xmax = 0

-- name: users_by_server
-- Purpose: all users, with how many rows of other tables are theirs.
-- Privilege: SELECT on users and the tables that refer to it.
SELECT
    u.id AS user_id, u.provider, u.provider_user_id, u.username,
    {email} AS email, {trakt_username} AS trakt_username, {is_enabled} AS is_enabled,
    {rows} AS rows
FROM {users} AS u
ORDER BY u.username, u.id

-- name: lock_users
-- Purpose: keep users as they are until the transaction ends. Privilege: SELECT and UPDATE on users.
SELECT u.id FROM {users} AS u WHERE u.id = ANY (%(ids)s) ORDER BY u.id FOR UPDATE

-- name: delete_user
-- Purpose: delete the new, still empty account. Privilege: DELETE on users.
DELETE FROM {users} AS u WHERE u.id = %(id)s

-- name: adopt_user
-- Purpose: make the old account that of the new media server; its history is fetched in full.
-- Privilege: UPDATE on users.
UPDATE {users} AS u
SET provider = %(provider)s, provider_user_id = %(provider_user_id)s {resets}
WHERE u.id = %(id)s

-- name: count_waiting
-- Purpose: rows that are neither put back nor, kept without a purge, still in place.
-- Privilege: SELECT on the kept tables and on those of titles.
SELECT count(*)
FROM aperture_db.kept_rows AS kept
LEFT JOIN aperture_db.kept_titles AS title ON title.id = kept.title_id
WHERE kept.done_at IS NULL
    AND kept.title_id IS NOT NULL
    AND (kept.origin <> 'keep' OR ({is_gone}))
