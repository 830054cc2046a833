"""Overloads of PostgreSQL's operators and functions that somebody planted in the search_path.

Whoever may create in a schema of the path can define an operator or function that fits a query
better than PostgreSQL's own, and a superuser's session would run it. The traps here write a file
on the server, as an attack would, even in a read-only transaction.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

import aperture_db
from aperture_db.cli.app import COMMANDS
from tests.cli import run_cli

TYPES = (
    "name", "text", "varchar", '"char"', "oid", "regclass", "int2", "int4", "int8", "float4",
    "float8", "numeric", "bool", "timestamptz", "interval", "json", "jsonb", "uuid", "text[]",
    "name[]", "oid[]", "int2[]", "int2vector",
)  # fmt: skip
# Of functions with two arguments or more there would be too many combinations.
FEW_TYPES = ("name", "text", "oid", "int4", "int8", "float8", "bool", "text[]")
OPERATORS = (
    "=", "<>", "<", ">", "<=", ">=", "~", "!~", "~*", "~~", "!~~", "||", "+", "-", "*", "/", "%",
    "@>", "<@", "&&", "->", "->>", "?",
)  # fmt: skip
CONFIRMED = ("--confirm", "yes I am sure")
MODES: dict[str, tuple[tuple[str, ...], ...]] = {
    "stats": ((), ("--tables",), ("--estimate",), ("--record",), ("--history",)),
    "health": ((), ("--only", "index-integrity"), ("--format", "prometheus")),
    "check-extensions": ((), ("--probe",), ("--create",)),
    "migrate": ((), ("--status",), ("--check",), ("--dry-run",), ("--rehearse",)),
    "vacuum": (("--dry-run",), ("--all",), ("--analyze-only", "--all"),
               ("--reindex-hnsw", "--table", "embeddings_768"), ("--full", *CONFIRMED)),
    "clean": ((), ("orphans", "expired-sessions", "stale-embeddings", "job-history", "old-runs",
                   "dead-jobs", "old-cache", "api-errors", "--apply", *CONFIRMED)),
    "backup": ((), ("--list",)),
    "restore": (),
    "relink": (("--keep",), (), ("--apply",), ("--users",)),
    "purge": tuple(
        ("--what", what, *more, *(("--include-kept",) if what == "everything" else ()))
        for what in ("movies", "series", "content", "watch-history", "ratings", "everything")
        for more in (("--dry-run",), ("--no-backup", *CONFIRMED))
    ),
    "report": ((),),
    "psql": (),
    "demo": (),
}  # fmt: skip


def functions_used() -> list[str]:
    """The names before a parenthesis in the program's SQL."""
    package = Path(aperture_db.__file__).parent
    texts = [file.read_text() for file in package.glob("sql/*.sql")]
    texts += [file.read_text() for file in package.rglob("*.py")]
    words = {word for text in texts for word in re.findall(r"\b([a-z_0-9]+)\(", text)}
    return sorted(words)


@pytest.fixture
def traps(sample_database: Callable[[], str]) -> Iterator[tuple[str, Path]]:
    """A database full of traps, and the directory where those that are sprung leave a file."""
    conninfo = sample_database()
    sprung = Path("/tmp") / f"aperture-db-traps-{secrets.token_hex(6)}"
    sprung.mkdir()
    sprung.chmod(0o777)
    with psycopg.connect(conninfo, autocommit=True, options="-c search_path=pg_catalog") as conn:
        role = conn.info.user
        conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(role)))
        for schema in ("public", role):
            plant(conn, schema, sprung)
        conn.execute(sql.SQL("CREATE TABLE {}.found (n int)").format(sql.Identifier(role)))
    yield conninfo, sprung
    for file in sprung.iterdir():
        file.unlink()
    sprung.rmdir()


def plant(conn: psycopg.Connection[Any], schema: str, sprung: Path) -> None:
    """Define everything that PostgreSQL has no exact match for, in one schema."""
    place = sql.Identifier(schema)
    body = sql.Literal(
        f"begin execute format('copy (select 1) to %L', '{sprung}/' || gen_random_uuid()); "
        "return null; end"
    )
    statements: list[sql.Composed] = []
    define = sql.SQL(
        "CREATE FUNCTION {}.{}({}) RETURNS {} LANGUAGE plpgsql SET search_path = pg_catalog AS {}"
    )
    for left, right in product(TYPES, TYPES):
        types = sql.SQL(f"{left}, {right}")
        statements.append(
            define.format(place, sql.Identifier("trap"), types, sql.SQL("bool"), body)
        )
    exact = {
        (str(name), str(left), str(right))
        for name, left, right in conn.execute(
            "SELECT oprname, format_type(oprleft, NULL), format_type(oprright, NULL) "
            "FROM pg_operator WHERE oprnamespace IN ('pg_catalog'::regnamespace, %s::regnamespace)",
            [place.as_string()],
        )
    }
    names: dict[object, object] = dict(
        conn.execute(
            "SELECT t, format_type(t::regtype, NULL) FROM unnest(%s::text[]) AS t", [list(TYPES)]
        ).fetchall()
    )
    for name, left, right in product(OPERATORS, TYPES, TYPES):
        if (name, names[left], names[right]) in exact:
            continue
        statements.append(
            sql.SQL(
                "CREATE OPERATOR {}." + name + f" (LEFTARG = {left}, RIGHTARG = {right}, "
                "FUNCTION = {}.trap)"
            ).format(place, place)
        )
    known = {
        str(name): {int(str(count)) for count in counts}
        for name, counts in conn.execute(
            "SELECT proname, array_agg(DISTINCT pronargs) FROM pg_proc "
            "WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' "
            "AND proname = ANY (%s) GROUP BY proname",
            [functions_used()],
        )
    }
    taken = {
        (str(name), str(arguments))
        for name, arguments in conn.execute(
            "SELECT proname, pg_get_function_identity_arguments(oid) FROM pg_proc "
            "WHERE pronamespace IN ('pg_catalog'::regnamespace, %s::regnamespace)",
            [place.as_string()],
        )
    }
    for name, counts in known.items():
        for count in counts & {1, 2}:
            choices = TYPES if count == 1 else FEW_TYPES
            for chosen in product(choices, repeat=count):
                arguments = ", ".join(str(names[each]) for each in chosen)
                if (name, arguments) not in taken:
                    statements.append(
                        define.format(
                            place, sql.Identifier(name), sql.SQL(arguments), sql.SQL("text"), body
                        )
                    )
    conn.execute(sql.SQL(";").join(statements))


def test_every_command_is_listed() -> None:
    assert set(MODES) == set(COMMANDS)


def test_no_command_calls_what_was_planted(traps: tuple[str, Path], tmp_path: Path) -> None:
    conninfo, sprung = traps
    backups = ("--dir", str(tmp_path))
    for command, modes in MODES.items():
        for mode in modes:
            options = backups if command == "backup" else ()
            outcome = run_cli(command, *mode, *options, conninfo=conninfo)
            assert not list(sprung.iterdir()), f"{command} {' '.join(mode)} sprang a trap"
            # health finds what was planted; a rebuild sees that the tables would move.
            is_refused = "new ones would be created in" in outcome.err
            assert outcome.code == 0 or command == "health" or is_refused, outcome.err
            assert "unexpectedly" not in outcome.err, outcome.err
    (dump,) = tmp_path.glob("*.dump")
    for mode in (("--dry-run",), CONFIRMED):
        outcome = run_cli("restore", str(dump), *mode, *backups, conninfo=conninfo)
        assert not list(sprung.iterdir()), f"restore {' '.join(mode)} sprang a trap"
        assert "unexpectedly" not in outcome.err, outcome.err


def test_the_traps_work(traps: tuple[str, Path]) -> None:
    conninfo, sprung = traps
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SELECT 'a'::name !~ 'b'::name")
        conn.execute("SELECT upper('a'::name)")
    assert len(list(sprung.iterdir())) == 2
