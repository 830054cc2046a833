"""What users added to Aperture's tables survives a restore and a purge, or is named before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aperture_db.postgres.catalog import Attachment, read_attachments
from tests.dump_files import PHRASE, execute, fetch_one, make_dump, opened
from tests.program import run_inside

NewDatabase = Callable[[], str]

# Every kind of object and setting that hangs on a table and is dropped with it.
ADDITIONS = r"""
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE notes (id integer);
CREATE PUBLICATION whole FOR TABLE notes, movies;
CREATE PUBLICATION parts FOR TABLE series (id, title) WHERE (id IS NOT NULL);
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE TRIGGER early BEFORE UPDATE OF title ON movies FOR EACH ROW EXECUTE FUNCTION act();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON movies DEFERRABLE FOR EACH ROW EXECUTE
    FUNCTION act();
ALTER TABLE movies ENABLE ALWAYS TRIGGER early;
CREATE RULE quiet AS ON DELETE TO user_ratings WHERE false DO ALSO NOTHING;
ALTER TABLE user_ratings DISABLE RULE quiet;
CREATE INDEX ON movies (lower(title), year);
CREATE UNIQUE INDEX "My index" ON movies (id) WHERE year > 1900;
CREATE UNIQUE INDEX by_id ON movies (id);
ALTER INDEX movies_lower_year_idx ALTER COLUMN 1 SET STATISTICS 300;
ALTER TABLE movies REPLICA IDENTITY USING INDEX by_id;
ALTER TABLE series REPLICA IDENTITY FULL;
ALTER TABLE movies CLUSTER ON movies_pkey;
ALTER TABLE movies ADD CONSTRAINT sane CHECK (year > 1800) NOT VALID;
ALTER TABLE movies ADD CHECK (title <> '');
CREATE STATISTICS movie_statistics (dependencies) ON title, year FROM movies;
ALTER STATISTICS movie_statistics SET STATISTICS 50;
CREATE POLICY readers ON movies AS RESTRICTIVE FOR UPDATE TO pg_monitor, postgres USING
    (year > 1900) WITH CHECK (title <> 'it''s');
CREATE POLICY everybody ON movies;
ALTER TABLE series ENABLE ROW LEVEL SECURITY;
ALTER TABLE series FORCE ROW LEVEL SECURITY;
ALTER TABLE movies ALTER title SET STATISTICS 500;
ALTER TABLE movies ALTER title SET STORAGE EXTERNAL;
ALTER TABLE movies ALTER title SET COMPRESSION pglz;
ALTER TABLE movies ALTER title SET (n_distinct = 77, n_distinct_inherited = -0.5);
ALTER TABLE movies SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01,
    toast.autovacuum_enabled = false);
COMMENT ON TABLE movies IS 'it''s mine';
COMMENT ON COLUMN movies.title IS E'two\nlines';
COMMENT ON INDEX "My index" IS 'x';
COMMENT ON CONSTRAINT sane ON movies IS 'x';
COMMENT ON TRIGGER early ON movies IS 'x';
COMMENT ON POLICY readers ON movies IS 'x';
COMMENT ON STATISTICS movie_statistics IS 'x';
"""


def read(conninfo: str, *, columns: bool = False) -> set[Attachment]:
    """Everything that hangs on any table."""
    with opened(conninfo) as (_, conn), conn.transaction():
        oids = conn.execute("SELECT oid FROM pg_class WHERE relkind = 'r' AND oid >= 16384")
        found = read_attachments(conn, [row[0] for row in oids])
    return {each for each in found if columns or each.kind != "column"}


def publications(conninfo: str) -> object:
    query = "SELECT array_agg(t::text ORDER BY t::text) FROM pg_publication_tables AS t"
    return fetch_one(conninfo, query)


def test_every_kind_survives_a_restore(aperture_database: NewDatabase, tmp_path: Path) -> None:
    """Added after the backup was made, so that the dump has none of it."""
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    plain = read(conninfo)
    execute(conninfo, ADDITIONS)
    before, published = read(conninfo), publications(conninfo)
    kinds = {each.kind for each in before - plain}
    assert len(kinds) >= 19

    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=conninfo)

    assert outcome.code == 0, outcome.err
    assert "could not be kept" not in outcome.err
    assert "Will be kept on the restored tables: " in outcome.err
    assert "constraint movies_title_check of movies" in outcome.err
    assert "publication whole of movies" in outcome.err
    assert read(conninfo) == before
    assert publications(conninfo) == published


def test_every_kind_survives_in_the_dump(aperture_database: NewDatabase, tmp_path: Path) -> None:
    """Nothing is made twice, and nothing is promised that the dump brings."""
    conninfo = aperture_database()
    execute(conninfo, ADDITIONS)
    before, published = read(conninfo), publications(conninfo)
    dump = make_dump(conninfo, tmp_path).path

    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=conninfo)

    assert outcome.code == 0, outcome.err
    assert "could not be kept" not in outcome.err
    assert ", index movies_lower_year_idx of movies" not in outcome.err
    assert "movies_title_check" not in outcome.err
    assert read(conninfo) == before
    assert publications(conninfo) == published


def test_additions_survive_a_restore_of_an_older_version(
    database_at: Callable[[str], str], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    old, new = database_at("0060"), aperture_database()
    dump = make_dump(old, tmp_path).path
    expected = read(old)
    execute(
        new,
        "CREATE INDEX ON movies (lower(title))",
        "CREATE PUBLICATION p FOR TABLE movies, discovery_pool",
        "ALTER TABLE movies ADD COLUMN mine integer",
        "CREATE INDEX ON movies (mine)",
    )

    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=new)

    assert outcome.code == 0, outcome.err
    assert {str(each) for each in read(new) - expected} == {
        "index movies_lower_idx of movies",
        "publication p of movies",
    }
    assert not expected - read(new)
    said = " ".join(outcome.err.split())
    assert "column mine of movies (with its values)" in said
    assert "index movies_mine_idx of movies (the dump has no column mine)" in said
    assert "publication p of discovery_pool (the table is not in the dump)" in said


def test_every_kind_survives_a_purge(aperture_database: NewDatabase) -> None:
    conninfo = aperture_database()
    execute(
        conninfo,
        ADDITIONS,
        "ALTER TABLE movies ADD COLUMN mine text COLLATE \"C\" NOT NULL DEFAULT 'x'",
        "ALTER TABLE movies ADD COLUMN number integer GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE movies ADD COLUMN twice integer GENERATED ALWAYS AS (2 * year) STORED",
    )
    before, published = read(conninfo, columns=True), publications(conninfo)

    outcome = run_inside(
        "purge", "--what", "everything", "--no-backup", "--confirm", PHRASE, database=conninfo
    )

    assert outcome.code == 0, outcome.err
    assert read(conninfo, columns=True) == before
    assert publications(conninfo) == published


def test_an_addition_that_the_rows_refuse_is_named(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    execute(
        conninfo,
        "ALTER TABLE job_config ADD CONSTRAINT never_true CHECK (false) NOT VALID",
        "ALTER TABLE job_config ADD CONSTRAINT has_name CHECK (job_name <> '')",
    )
    execute(
        conninfo, "DELETE FROM job_config", "ALTER TABLE job_config VALIDATE CONSTRAINT never_true"
    )

    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=conninfo)

    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert (
        "warning: constraint never_true of job_config could not be kept: check constraint" in said
    )
    assert {each.name for each in read(conninfo)} >= {"has_name"}
