"""What a backup holds comes back: onto nothing, onto changes, from every form of dump."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dump_files import (
    PHRASE,
    execute,
    fetch_one,
    make_dump,
    read_rows,
    read_state,
    run_pg_dump,
)
from tests.program import run_inside

NewDatabase = Callable[[], str]

CHANGES = (
    "UPDATE movies SET title = title || ' (changed)'",
    "DELETE FROM watch_history",
    "ALTER TABLE users ADD COLUMN shoe_size integer",
    "DROP INDEX idx_users_username",
    "DROP TABLE collections CASCADE",
    """
    CREATE OR REPLACE FUNCTION update_updated_at_column() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$
    """,
)


def restore(file: Path, conninfo: str, *options: str) -> tuple[int, str, str]:
    done = run_inside("restore", str(file), "--confirm", PHRASE, *options, database=conninfo)
    return done.code, done.out, done.err


def test_onto_an_empty_database(
    sample_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, empty = sample_database(), new_database()
    before = read_state(source)
    dump = make_dump(source, tmp_path)

    code, out, err = restore(dump.path, empty)

    assert code == 0, err
    assert read_state(empty) == before
    assert f"{len(before[0])} tables" in out
    assert run_inside("migrate", "--check", database=empty).code == 0


def test_onto_a_changed_database(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    before = read_state(conninfo)
    dump = make_dump(conninfo, tmp_path)
    execute(conninfo, *CHANGES)

    code, _, err = restore(dump.path, conninfo)

    assert code == 0, err
    assert read_state(conninfo) == before


def test_the_last_line_undoes_it(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    dump = make_dump(conninfo, tmp_path)
    execute(conninfo, *CHANGES)
    changed = read_state(conninfo)

    code, out, err = restore(dump.path, conninfo)
    assert code == 0, err
    assert read_state(conninfo) != changed
    program, command, file, *_ = out.splitlines()[-1].split()
    assert (program, command) == ("aperture-db", "restore")
    code, _, err = restore(Path(file), conninfo)

    assert code == 0, err
    assert read_state(conninfo) == changed


def test_undoing_the_first_restore_leaves_an_empty_database(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    empty = new_database()
    dump = make_dump(aperture_database(), tmp_path)
    code, out, err = restore(dump.path, empty)
    assert code == 0, err

    code, _, err = restore(Path(out.splitlines()[-1].split()[2]), empty)

    assert code == 0, err
    assert read_rows(empty) == {}


@pytest.mark.parametrize("form", ["custom through a pipe", "sql", "sql.gz", "sql with --clean"])
def test_what_aperture_made(
    form: str, sample_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source = sample_database()
    before = read_state(source)
    arguments = {
        "custom through a pipe": ("-F", "c", "-Z", "6"),
        "sql with --clean": ("--clean", "--if-exists"),
    }
    file = run_pg_dump(source, tmp_path / "aperture_backup", *arguments.get(form, ()))
    if form == "sql.gz":
        file.write_bytes(gzip.compress(file.read_bytes()))
    for target in (new_database(), source):
        code, _, err = restore(file, target)

        assert code == 0, err
        assert read_state(target) == before


def test_rows_as_insert_statements(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, empty = aperture_database(), new_database()
    file = run_pg_dump(source, tmp_path / "inserts.sql", "--inserts", "--rows-per-insert=7")

    code, _, err = restore(file, empty)

    assert code == 0, err
    assert "unknown (INSERT statements)" in err
    assert "without the rows" not in err
    assert read_state(empty) == read_state(source)
    verified = run_inside("backup", "--verify", str(file))
    assert "80 tables with rows as INSERT statements" in " ".join(verified.out.split())


def test_with_every_name_in_quotes(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, empty = aperture_database(), new_database()
    file = run_pg_dump(source, tmp_path / "quoted.sql", "--quote-all-identifiers")

    code, _, err = restore(file, empty)

    assert code == 0, err
    assert ["migration", "none", "0114"] in [line.split() for line in err.splitlines()]
    assert read_state(empty) == read_state(source)


def test_a_dump_of_some_tables_tells_which_ones_go(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    """It can be restored where no foreign key leads out of it; nobody is to be surprised."""
    conninfo = aperture_database()
    some = ("--table=aperture_migrations", "--table=movies")
    file = run_pg_dump(conninfo, tmp_path / "some.sql", *some)

    planned = run_inside("restore", str(file), "--dry-run", database=conninfo)

    assert planned.code == 0, planned.err
    assert "Will be deleted (not in the dump): api_errors, api_keys, " in planned.out
    assert "and 38 more\n" in planned.out
    *_, what, command = planned.out.splitlines()
    assert what == "Nothing was changed. To carry out exactly this plan:"
    assert command.startswith(f"  aperture-db restore {file} --database-url")


def test_a_dump_of_a_schema_brings_no_extensions(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    source, empty = aperture_database(), new_database()
    file = run_pg_dump(source, tmp_path / "public.sql", "--schema=public")
    code, _, err = restore(file, empty)
    assert code == 1
    assert "check-extensions --create" in err
    assert run_inside("check-extensions", "--create", database=empty).code == 0
    code, _, err = restore(file, empty)
    assert code == 0, err
    assert read_rows(empty) == read_rows(source)


def test_with_owners_and_privileges_in_the_script(
    aperture_database: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    """They stay as they are in the database, whoever is named in the dump."""
    source, empty = aperture_database(), new_database()
    execute(source, "GRANT SELECT ON movies TO pg_monitor")
    file = run_pg_dump(source, tmp_path / "plain.sql")
    text = file.read_text().replace(
        "CREATE TABLE public.movies (",
        "ALTER FUNCTION public.update_updated_at_column() OWNER TO nobody_of_that_name;\n"
        "CREATE TABLE public.movies (",
    )
    file.write_text(text)

    code, _, err = restore(file, empty)

    assert code == 0, err
    assert read_state(empty) == read_state(source)


@pytest.mark.parametrize("number", ["0001", "0023", "0060", "0090"])
def test_an_older_dump_onto_a_newer_database(
    number: str,
    database_at: Callable[[str], str],
    aperture_database: NewDatabase,
    tmp_path: Path,
) -> None:
    """Nothing of the newer schema stays, so Aperture's next start can migrate."""
    old, new = database_at(number), aperture_database()
    expected = read_state(new)[1]
    before = read_state(old)
    dump = make_dump(old, tmp_path)

    code, out, err = restore(dump.path, new)

    assert code == 0, err
    assert "aperture-db migrate" in out
    rows, structure = read_state(new)
    # Extensions stay: other databases' dumps may need them, and making them takes a superuser.
    structure["extensions"] = before[1]["extensions"]
    assert (rows, structure) == before
    assert run_inside("migrate", database=new).code == 0
    assert read_state(new)[1] == expected


def test_a_newer_dump_onto_an_older_database(
    database_at: Callable[[str], str], aperture_database: NewDatabase, tmp_path: Path
) -> None:
    old, new = database_at("0040"), aperture_database()
    dump = make_dump(new, tmp_path)

    code, out, err = restore(dump.path, old)

    assert code == 0, err
    assert "aperture-db migrate" not in out
    assert read_rows(old) == read_rows(new)


def test_the_new_rows_get_new_ids(aperture_database: NewDatabase, tmp_path: Path) -> None:
    """Sequences go on where they were."""
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path)
    last = fetch_one(conninfo, "SELECT max(id) FROM aperture_migrations")
    assert restore(dump.path, conninfo)[0] == 0

    execute(conninfo, "INSERT INTO aperture_migrations (name) VALUES ('9999_new.sql')")

    assert fetch_one(conninfo, "SELECT max(id) FROM aperture_migrations") == last + 1
