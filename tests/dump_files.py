"""Databases compared row by row, and dumps made of them, for the tests of backup and restore."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from aperture_db.aperture.structure import Structure
from aperture_db.backup.create import create
from aperture_db.backup.report import Backup, BackupMade
from aperture_db.dumps import Purpose
from aperture_db.dumps.programs import base_environment, programs_for_server
from aperture_db.postgres.connection import connect
from aperture_db.postgres.session import Connection
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target
from tests.cli import COMMAND, environment
from tests.migrations.structure import read_structure

PHRASE = "yes I am sure"
Rows: TypeAlias = dict[str, tuple[int, str]]

TABLES = """
    SELECT schemaname, tablename
    FROM pg_tables
    WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
        -- A backup is recorded after it is made.
        AND (schemaname, tablename) NOT IN (('aperture_db', 'backups'), ('aperture_db', 'drills'))
"""
# Where a test's own program finds the embedded server's client programs.
PLACES = {
    name: os.environ[name]
    for name in ("APERTURE_DB_HOME", "XDG_DATA_HOME", "HOME")
    if name in os.environ
}


def read_rows(conninfo: str) -> Rows:
    """Of every table, how many rows it has and a digest of them all."""
    with psycopg.connect(conninfo) as conn:
        rows = {}
        for schema, name in conn.execute(TABLES).fetchall():
            query = sql.SQL(
                "SELECT count(*), coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text)), '') "
                "FROM {} AS t"
            ).format(sql.Identifier(schema, name))
            rows[f"{schema}.{name}"] = conn.execute(query).fetchone()
        return rows  # type: ignore[return-value]


def read_state(conninfo: str) -> tuple[Rows, Structure]:
    """All rows and the whole structure."""
    with psycopg.connect(conninfo) as conn:
        structure = read_structure(conn)
    return read_rows(conninfo), structure


def execute(conninfo: str, *statements: str) -> None:
    """Run statements, each in a transaction of its own."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def fetch_one(conninfo: str, query: str) -> Any:
    """The first column of the first row."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        row = conn.execute(query.encode()).fetchone()
    return row[0] if row else None


@contextmanager
def opened(conninfo: str) -> Iterator[tuple[Target, Connection]]:
    """A target and a connection as the tool has them."""
    target = resolve_target(conninfo, None, {})
    with connect(target) as conn:
        yield target, conn


def make_dump(conninfo: str, directory: Path, purpose: Purpose = Purpose.BACKUP) -> Backup:
    """A backup of the database, made by the feature itself."""
    with opened(conninfo) as (target, conn):
        *_, last = create(target, conn, directory, purpose=purpose)
    assert isinstance(last, BackupMade)
    return last.backup


def run_pg_dump(conninfo: str, file: Path, *arguments: str) -> Path:
    """A dump made by plain pg_dump, without owners and privileges, as Aperture makes it."""
    with psycopg.connect(conninfo) as conn:
        programs = programs_for_server(conn.info.server_version)
    parts = conninfo_to_dict(conninfo)
    variables = {f"PG{name.upper()}": str(parts[name]) for name in ("host", "port", "user")}
    variables |= {"PGPASSWORD": str(parts["password"]), "PGDATABASE": str(parts["dbname"])}
    done = subprocess.run(
        [programs.pg_dump, "--no-owner", "--no-acl", *arguments],
        env=base_environment() | variables,
        capture_output=True,
        check=True,
    )
    file.write_bytes(done.stdout)
    return file


def start_program(
    *arguments: str, conninfo: str | None = None, **variables: str
) -> subprocess.Popen[str]:
    """Start `aperture-db ARGUMENTS` with the embedded server's programs in reach."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(conninfo, **(PLACES | variables)),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
