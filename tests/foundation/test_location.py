"""Aperture's tables in a schema that the search_path does not find, or in two schemas.

Every command says so; migrate never builds a second Aperture beside the first; and the statement
that is printed makes it work.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.postgres.session import OriginalPath
from tests.cli import Outcome
from tests.program import run_inside
from tests.servers.roles import Rights

ELSEWHERE = "Aperture's tables are in schema media, which is not in the search_path"
TWO = "2 schemas hold Aperture's tables: media, public"
CONFIRMED = ("--confirm", "yes I am sure")
MIGRATE_MODES = (
    (), ("--check",), ("--dry-run",), ("--rehearse",), ("--mark-applied", "0114"),
)  # fmt: skip
WRITERS = (
    *(("migrate", *mode) for mode in MIGRATE_MODES),
    ("purge", "--what", "content", "--dry-run"),
    ("purge", "--what", "everything", "--no-backup", *CONFIRMED),
    ("clean",),
    ("clean", "orphans", "--apply", *CONFIRMED),
    ("relink",),
    ("relink", "--keep"),
    ("vacuum",),
    ("vacuum", "--dry-run"),
)
READERS = (
    ("stats",),
    ("stats", "--tables"),
    ("health",),
    ("check-extensions",),
    ("report",),
)
STATEMENT = re.compile(r"(?:CREATE SCHEMA|GRANT|ALTER ROLE) [^;]+;")


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def path_of(conninfo: str) -> str:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT current_setting('search_path')").fetchone()
    assert row is not None
    return str(row[0])


def aperture_schemas(conninfo: str) -> set[str]:
    with psycopg.connect(conninfo) as conn:
        query = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE relname = %s"
        return {name for (name,) in conn.execute(query, ["aperture_migrations"])}


def follow(conninfo: str, outcome: Outcome) -> str:
    """Run the statements that were printed, twice; returns the path behind the first time."""
    statements = STATEMENT.findall(outcome.err + outcome.out)
    assert statements, outcome
    execute(conninfo, *statements)
    path = path_of(conninfo)
    execute(conninfo, *(each for each in statements if not each.startswith("CREATE")))
    assert path_of(conninfo) == path
    return path


@pytest.fixture
def moved_database(aperture_database: Callable[[], str]) -> Callable[[], str]:
    """Makes databases of Aperture in the schema media, with its extensions in public."""

    def make() -> str:
        conninfo = aperture_database()
        execute(
            conninfo,
            "ALTER SCHEMA public RENAME TO media",
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO PUBLIC",
            *(f"ALTER EXTENSION {e} SET SCHEMA public" for e in ("vector", "pgcrypto", "pg_trgm")),
        )
        return conninfo

    return make


@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_what_writes_refuses_an_aperture_elsewhere(
    moved_database: Callable[[], str], command: tuple[str, ...]
) -> None:
    conninfo = moved_database()
    outcome = run_inside(*command, database=conninfo)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith(f"error: {ELSEWHERE}")
    assert 'why:   the search_path of role postgres is "$user", public' in outcome.err
    assert aperture_schemas(conninfo) == {"media"}


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_what_reads_says_that_aperture_is_elsewhere(
    moved_database: Callable[[], str], command: tuple[str, ...], tmp_path: Path
) -> None:
    conninfo = moved_database()
    more = {"report": ("--output", str(tmp_path / "report.html"))}.get(command[0], ())
    outcome = run_inside(*command, *more, database=conninfo)
    shown = outcome.out + outcome.err
    if command[0] == "report":
        shown = (tmp_path / "report.html").read_text().replace("&#39;", "'")
    assert "tables are in schema media, which is not in the search_path" in shown
    with psycopg.connect(conninfo) as conn:
        name = conn.info.dbname
    if command[0] != "report":
        assert (
            f'ALTER ROLE "postgres" IN DATABASE "{name}" '
            'SET search_path = "media", "$user", public;'
        ) in shown


def test_backup_and_restore_warn_and_go_on(
    moved_database: Callable[[], str], tmp_path: Path
) -> None:
    conninfo = moved_database()
    made = run_inside("backup", "--dir", str(tmp_path), database=conninfo)
    assert made.code == 0, made.err
    assert f"warning: {ELSEWHERE}" in made.err
    (dump,) = tmp_path.glob("*.dump")
    shown = run_inside("restore", str(dump), "--dry-run", database=conninfo)
    assert f"warning: {ELSEWHERE}" in shown.err


@dataclass(frozen=True)
class Case:
    """A path of the role, what is there, and the path after the way out."""

    path: str
    after: tuple[str, ...]
    schemas: tuple[str, ...] = ()
    """To be created, empty."""
    moved: tuple[str, ...] = ()
    """Extensions that go to the schema apart."""


CASES = {
    "default": Case('"$user", public', ("media", "$user", "public")),
    "extensions apart": Case(
        '"$user", public', ("media", "$user", "public", "apart"), ("apart",), ("vector", "pg_trgm")
    ),
    "only extensions apart": Case(
        "media, public", ("media", "public", "apart"), ("apart",), ("pgcrypto",)
    ),
    "odd names": Case(
        'public, "Odd, ""Name"', ("media", "public", 'Odd, "Name'), ('"Odd, ""Name"',)
    ),
    "nothing there": Case("nowhere", ("media", "nowhere", "public")),
    "empty": Case("''", ("media", "public")),
    "behind another": Case("public, media", ("media", "public")),
    "behind the role's": Case(
        '"$user", media, public', ("media", "$user", "public"), ("postgres",)
    ),
    "behind temporary": Case("pg_temp, media, public", ("media", "pg_temp", "public")),
    "behind PostgreSQL's": Case("pg_catalog, media, public", ("media", "pg_catalog", "public")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_printed_statement_makes_it_work(moved_database: Callable[[], str], case: Case) -> None:
    conninfo = moved_database()
    execute(
        conninfo,
        "DELETE FROM media.aperture_migrations WHERE name LIKE '0114%'",
        "DROP INDEX media.idx_watch_history_excludable",
        *(f"CREATE SCHEMA {schema}" for schema in case.schemas),
        *(f"ALTER EXTENSION {name} SET SCHEMA apart" for name in case.moved),
        f"ALTER DATABASE {conninfo_to_dict(conninfo)['dbname']} SET search_path = {case.path}",
    )
    refused = run_inside("migrate", database=conninfo)
    assert refused.code == (5 if case.path == "media, public" else 2), refused
    path = follow(conninfo, refused)
    assert OriginalPath(path, ()).entries == case.after
    done = run_inside("migrate", database=conninfo)
    assert done.code == 0, done
    assert "warning" not in done.err
    assert aperture_schemas(conninfo) == {"media"}
    for command in (("stats",), ("check-extensions",), ("migrate", "--check")):
        outcome = run_inside(*command, database=conninfo)
        assert outcome.code == 0, outcome
        assert "search_path" not in outcome.out + outcome.err


def test_stats_and_check_extensions_advise_the_same(moved_database: Callable[[], str]) -> None:
    conninfo = moved_database()
    execute(conninfo, "CREATE SCHEMA apart", "ALTER EXTENSION vector SET SCHEMA apart")
    advice = [
        set(STATEMENT.findall(outcome.out + outcome.err))
        for outcome in (
            run_inside("stats", database=conninfo),
            run_inside("check-extensions", database=conninfo),
            run_inside("migrate", database=conninfo),
        )
    ]
    assert advice[0] == advice[1] == advice[2]
    assert len(advice[0]) == 1


def test_a_schema_that_the_role_may_not_enter(
    moved_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = moved_database()
    execute(conninfo, "REVOKE ALL ON SCHEMA media FROM PUBLIC")
    role = limited_role(conninfo, "create_tables")
    refused = run_inside("migrate", database=role)
    name, database = (conninfo_to_dict(role)[key] for key in ("user", "dbname"))
    assert refused.code == 2
    assert "lacks USAGE on schema media" in refused.err
    assert (
        f'next:  as the owner or a superuser run: GRANT USAGE ON SCHEMA "media" TO "{name}"; '
        f'ALTER ROLE "{name}" IN DATABASE "{database}" '
        'SET search_path = "media", "$user", public;'
    ) in refused.err
    execute(conninfo, f"GRANT SELECT ON ALL TABLES IN SCHEMA media TO {name}")
    execute(conninfo, *STATEMENT.findall(refused.err))
    assert run_inside("migrate", "--check", database=role).code == 0
    execute(conninfo, f"REVOKE USAGE ON SCHEMA media FROM {name}")
    again = run_inside("migrate", database=role)
    assert "error: cannot tell which migrations are applied" in again.err
    assert "new ones" not in again.err
    execute(conninfo, *STATEMENT.findall(again.err))
    assert run_inside("migrate", "--check", database=role).code == 0


def test_a_path_in_the_connection_string_is_not_the_role_s(
    moved_database: Callable[[], str],
) -> None:
    conninfo = moved_database()
    refused = run_inside(
        "migrate", database=make_conninfo(conninfo, options="-c search_path=public")
    )
    assert refused.code == 2
    assert "ALTER ROLE" not in refused.err
    option = '-c search_path="media",public'
    assert refused.err.rstrip().endswith(
        f"options of the connection string (PGOPTIONS) to {option}"
    )
    done = run_inside("migrate", database=make_conninfo(conninfo, options=option))
    assert (done.code, done.out) == (0, "Database is up to date.\n"), done


def test_nothing_pending_creates_nothing_elsewhere(aperture_database: Callable[[], str]) -> None:
    conninfo = aperture_database()
    execute(conninfo, "CREATE SCHEMA postgres")
    done = run_inside("migrate", database=conninfo)
    assert (done.code, done.out, done.err) == (0, "Database is up to date.\n", "")
    refused = run_inside("purge", "--what", "everything", "--dry-run", database=conninfo)
    assert "tables are in schema public, new ones would be created in postgres" in refused.err


@pytest.mark.parametrize("path", ["public", "media, public", "nowhere"])
def test_two_apertures(aperture_database: Callable[[], str], path: str, tmp_path: Path) -> None:
    conninfo = aperture_database()
    names = ("aperture_migrations", "movies", "users", "watch_history")
    execute(
        conninfo,
        "CREATE SCHEMA media",
        *(f"CREATE TABLE media.{name} (LIKE public.{name})" for name in names),
        f"ALTER DATABASE {conninfo_to_dict(conninfo)['dbname']} SET search_path = {path}",
    )
    for mode in MIGRATE_MODES:
        refused = run_inside("migrate", *mode, database=conninfo)
        assert refused.code == 2, refused
        assert refused.err.startswith(f"error: {TWO}"), refused
        assert "then drop the other one" in refused.err
    for command in (*READERS, *WRITERS, ("migrate", "--status")):
        more = {"report": ("--output", str(tmp_path / "report.html"))}.get(command[0], ())
        outcome = run_inside(*command, *more, database=conninfo)
        shown = outcome.out + outcome.err
        if command[0] == "report":
            shown = (tmp_path / "report.html").read_text()
        assert TWO.removeprefix("2 schemas hold Aperture's ") in shown, command


@pytest.mark.parametrize(
    ("path", "statements", "after"),
    [
        ("nowhere", (), ("public", "nowhere")),
        ("pg_temp, public", (), ("public", "pg_temp")),
        ("pg_catalog", (), ("public", "pg_catalog")),
        ("''", (), ("public",)),
        ('"$user", public', ("DROP SCHEMA public",), ("$user", "public")),
    ],
)
def test_an_empty_database_without_a_schema_to_create_in(
    new_database: Callable[[], str], path: str, statements: tuple[str, ...], after: tuple[str, ...]
) -> None:
    conninfo = new_database()
    name = conninfo_to_dict(conninfo)["dbname"]
    execute(conninfo, *statements, f"ALTER DATABASE {name} SET search_path = {path}")
    refused = run_inside("migrate", database=conninfo)
    assert refused.code == 1
    assert "error: there is no schema to create tables in" in refused.err
    assert aperture_schemas(conninfo) == set()
    assert OriginalPath(follow(conninfo, refused), ()).entries == after
    assert run_inside("migrate", "--to", "0004", database=conninfo).code == 0
    assert aperture_schemas(conninfo) == {"public"}
