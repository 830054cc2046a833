"""Collects the report from what the other commands read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

import psycopg
from psycopg.rows import class_row

from aperture_db import __version__, sql
from aperture_db.errors import ApertureDbError
from aperture_db.extensions.collect import collect as collect_extensions
from aperture_db.health.check import Check, CheckSelection
from aperture_db.health.run import Connect, run_checks
from aperture_db.migrations.directory import read_directory
from aperture_db.migrations.status import collect as collect_migrations
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.report.report import (
    DatabaseReport,
    LastBackup,
    LastDrill,
    ServerSetting,
    hide,
    make_redaction,
)
from aperture_db.stats.collect import collect as collect_stats
from aperture_db.stats.collect import collect_tables
from aperture_db.stats.history import read_history

Part = TypeVar("Part")

SHOWN_TABLES = 12
SETTINGS = [
    "shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem",
    "max_connections", "max_wal_size", "random_page_cost", "default_statistics_target",
    "max_parallel_maintenance_workers", "autovacuum", "autovacuum_vacuum_scale_factor",
    "track_counts", "fsync", "synchronous_commit", "full_page_writes", "data_checksums",
    "wal_level", "server_encoding", "TimeZone",
]  # fmt: skip


def collect(connect: Connect, target: Target, checks: Sequence[Check]) -> DatabaseReport:
    """Read everything through read-only connections that `connect` opens; nothing is written.

    A part that the role may not read is left out and named in `unread`. Raises ApertureDbError.
    """
    unread: list[str] = []
    with connect() as conn:
        words = _private_words(conn, target)
        stats = collect_stats(conn)
        tables = collect_tables(conn)
        history = _attempt(unread, "growth", lambda: read_history(conn))
        status = _attempt(unread, "migrations", lambda: collect_migrations(conn, read_directory()))
        needed = collect_extensions(conn, target.host)
        last_backup = _attempt(unread, "last backup", lambda: _read_last_backup(conn))
        last_drill = _attempt(
            unread, "drills", lambda: _read_row(conn, "report/last_drill", LastDrill)
        )
        settings = _read_settings(conn)
    health = run_checks(connect, target, checks, CheckSelection())
    if health.error is not None:
        raise health.error
    with connect() as conn:
        # Those of clients that have come since.
        words |= _private_words(conn, target)
    report = DatabaseReport(
        tool_version=__version__,
        stats=stats,
        tables=tables.total,
        largest_tables=tuple(t for t in tables.tables if t.group is not None)[:SHOWN_TABLES],
        history=history,
        health=health,
        migrations=status,
        extensions=needed,
        last_backup=last_backup,
        last_drill=last_drill,
        settings=settings,
        unread=tuple(unread),
    )
    return hide(report, make_redaction(words))


def _attempt(unread: list[str], what: str, read: Callable[[], Part]) -> Part | None:
    try:
        return read()
    except psycopg.Error as error:
        unread.append(f"{what}: {error.diag.message_primary or type(error).__name__}")
    except ApertureDbError as error:
        unread.append(f"{what}: {error.why}")
    return None


def _read_settings(conn: Connection) -> tuple[ServerSetting, ...]:
    with conn.cursor(row_factory=class_row(ServerSetting)) as cursor:
        cursor.execute(sql.load("report/settings"), {"names": SETTINGS})
        return tuple(cursor)


def _read_last_backup(conn: Connection) -> LastBackup | None:
    """Of the one that Aperture's row names and the last one made elsewhere, the newer one."""
    named = ("report/last_backup", "report/last_own_backup")
    found = [_read_row(conn, query, LastBackup) for query in named]
    return max(filter(None, found), key=lambda backup: backup.made_at, default=None)


def _read_row(conn: Connection, query: str, row: type[Part]) -> Part | None:
    """The only row of a query; None where its table does not exist."""
    with (
        suppress(psycopg.errors.UndefinedTable),
        conn.cursor(row_factory=class_row(row)) as cursor,
    ):
        return cursor.execute(sql.compose(query)).fetchone()
    return None


def _private_words(conn: Connection, target: Target) -> dict[str, str]:
    """Kinds by the words that must not appear."""
    found = [
        (str(kind), str(word)) for kind, word in conn.execute(sql.load("report/private_words"))
    ]
    # What the role may not read no check has read either.
    for query in ("report/backup_names", "report/own_backup_names"):
        with suppress(psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            found += conn.execute(sql.compose(query)).fetchall()
    for kind, keyword in (
        ("role", "user"), ("database", "dbname"), ("host", "host"), ("address", "hostaddr"),
        ("secret", "password"),
    ):  # fmt: skip
        found += [(kind, word) for word in target.params.get(keyword, "").split(",")]
    return {word: kind for kind, word in found}
