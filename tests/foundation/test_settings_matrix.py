"""Settings of a database or role change nothing of what a command prints."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from tests.program import run_inside

# One setting after another would take minutes; these go together.
SETTINGS = {
    "formats": {
        "DateStyle": "German, DMY",
        "IntervalStyle": "sql_standard",
        "TimeZone": "Asia/Kathmandu",
        "bytea_output": "escape",
        "extra_float_digits": "-15",
        "lc_monetary": "C",
        "xmlbinary": "hex",
        "client_encoding": "LATIN1",
    },
    "syntax": {
        "standard_conforming_strings": "off",
        "array_nulls": "off",
        "quote_all_identifiers": "on",
        "transform_null_equals": "on",
        "check_function_bodies": "off",
        "default_toast_compression": "pglz",
    },
    "names": {"search_path": "public, pg_catalog", "client_min_messages": "error"},
    "limits": {
        "statement_timeout": "30s",
        "lock_timeout": "1ms",
        "idle_in_transaction_session_timeout": "1ms",
        "work_mem": "64kB",
        "temp_file_limit": "64MB",
    },
    "transactions": {
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "row_security": "off",
    },
    "plans": {
        "enable_seqscan": "off",
        "enable_indexscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
        "enable_nestloop": "off",
        "plan_cache_mode": "force_generic_plan",
        "jit": "on",
        "jit_above_cost": "0",
    },
}
COMMANDS = [
    ("stats",),
    ("stats", "--tables", "--json"),
    ("check-extensions",),
    ("migrate", "--status"),
    ("migrate", "--check"),
    ("clean", "--json"),
    ("vacuum", "--dry-run", "--json"),
    ("purge", "--what", "movies", "--dry-run", "--json"),
    ("purge", "--what", "everything", "--dry-run", "--json"),
    ("relink", "--json"),
    ("backup", "--list", "--dir", "{directory}", "--json"),
]
# The clock, and what grows by looking at it.
CHANGING = re.compile(
    r'"\w*(?:_at|seconds|bytes|age)":.*|\d\d:\d\d:\d\d|\d+(?:\.\d+)? (?:s|ms|[kMG]B)\b'
)


def outputs(conninfo: str, directory: Path) -> dict[str, tuple[int, str]]:
    """The exit code and the output of every command."""
    found = {}
    for command in COMMANDS:
        words = [word.format(directory=directory) for word in command]
        outcome = run_inside(*words, database=conninfo)
        found[" ".join(command)] = (outcome.code, CHANGING.sub("…", outcome.out + outcome.err))
    return found


@pytest.mark.parametrize("group", SETTINGS)
def test_every_command_prints_the_same(
    sample_database: Callable[[], str], tmp_path: Path, group: str
) -> None:
    conninfo = sample_database()
    before = outputs(conninfo, tmp_path)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name, value in SETTINGS[group].items():
            values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(conn.info.dbname), sql.Identifier(name), values
                )
            )
    assert outputs(conninfo, tmp_path) == before
