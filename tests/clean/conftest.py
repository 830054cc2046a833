"""What a database holds, row by row, and runs of `clean`."""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from aperture_db.cli.options import PHRASE
from tests.cli import Outcome
from tests.program import run_inside

Contents: TypeAlias = dict[str, Counter[str]]
"""Rows of every table, as JSON text."""


def read_contents(conninfo: str) -> Contents:
    with psycopg.connect(conninfo) as conn:
        names = conn.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c "
            "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return {
            name: Counter(
                row
                for (row,) in conn.execute(
                    sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t").format(sql.Identifier(name))
                )
            )
            for (name,) in names
        }


def gone(before: Contents, after: Contents) -> dict[str, int]:
    """Rows that went, by table. Nothing may have come or changed."""
    assert before.keys() == after.keys()
    for name, rows in after.items():
        assert not rows - before[name], f"{name} has other rows than before"
    missing = {name: (rows - after[name]).total() for name, rows in before.items()}
    return {name: count for name, count in missing.items() if count}


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def listed(conninfo: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """What `clean` lists, by kind."""
    outcome = run_inside("clean", "--json", *arguments, database=conninfo)
    assert outcome.code == 0, outcome.err
    return {kind["kind"]: kind for kind in outcome.envelope["data"]["kinds"]}


def apply(conninfo: str, *arguments: str) -> Outcome:
    """Run `clean --apply`, confirmed."""
    return run_inside("clean", "--apply", *arguments, "--confirm", PHRASE, database=conninfo)


def rows_of(kind: dict[str, Any]) -> dict[str, int]:
    """Rows that can go, by table."""
    return {table["table"]: table["rows"] for table in kind["tables"]}
