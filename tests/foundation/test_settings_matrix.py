"""Settings of a database or role change nothing of what a command prints."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

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
BACKSLASH = "\\"
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


def change(conninfo: str, change: LiteralString, settings: dict[str, str]) -> None:
    """Make settings the defaults of a database or role: `change` is the start of the ALTER."""
    names = {key: sql.Identifier(str(value)) for key, value in conninfo_to_dict(conninfo).items()}
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for name, value in settings.items():
            values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
            setting = sql.SQL(" SET {} = {}").format(sql.Identifier(name), values)
            conn.execute(sql.SQL(change).format(**names) + setting)


@pytest.mark.parametrize("group", SETTINGS)
def test_every_command_prints_the_same(
    sample_database: Callable[[], str], tmp_path: Path, group: str
) -> None:
    conninfo = sample_database()
    before = outputs(conninfo, tmp_path)
    change(conninfo, "ALTER DATABASE {dbname}", SETTINGS[group])
    assert outputs(conninfo, tmp_path) == before


# Where else a setting can come from; the plans are left out for the time that they take.
WAYS = ("role", "role in the database", "PGOPTIONS", "URL")


@pytest.mark.parametrize("way", WAYS)
def test_wherever_the_settings_come_from(
    sample_database: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    settings = {
        name: value
        for group, settings in SETTINGS.items()
        if group != "plans"
        for name, value in settings.items()
    }
    options = " ".join(
        f"-c {name}={value.replace(' ', BACKSLASH + ' ')}" for name, value in settings.items()
    )
    conninfo = sample_database()
    role = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{role}'".encode())
        try:
            as_role = make_conninfo(conninfo, user=role, password=role)
            before = outputs(as_role, tmp_path)
            match way:
                case "role":
                    change(as_role, "ALTER ROLE {user}", settings)
                case "role in the database":
                    change(as_role, "ALTER ROLE {user} IN DATABASE {dbname}", settings)
                case "PGOPTIONS":
                    monkeypatch.setenv("PGOPTIONS", options)
                case "URL":
                    as_role = make_conninfo(as_role, options=options)
            assert outputs(as_role, tmp_path) == before
        finally:
            conn.execute(f"DROP ROLE {role}".encode())
