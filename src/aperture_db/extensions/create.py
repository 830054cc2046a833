"""Installs what is missing and updates what is older than the server's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import psycopg
from psycopg import errors as pg
from psycopg import sql

from aperture_db.extensions.advice import advise
from aperture_db.extensions.report import Change, Extension, ExtensionsReport
from aperture_db.postgres.connection import Connection, set_local

LOCK_TIMEOUT = "10s"
# Not about one extension: the next statement would fail in the same way.
GENERAL_FAILURES = (
    pg.ReadOnlySqlTransaction,
    pg.LockNotAvailable,
    pg.DiskFull,
    pg.AdminShutdown,
    pg.CrashShutdown,
)
# Another session created it between our look and our statement.
RACES = (pg.UniqueViolation, pg.DuplicateObject)


def create_missing(conn: Connection, report: ExtensionsReport) -> tuple[Change, ...]:
    """Run every statement that helps, also where this role seems to lack the right: managed
    services grant it in ways that the catalogs don't show.

    Each in a transaction of its own, in order; a refused one does not end the others. Waits up to
    10 s for locks. Raises the driver's error when the server or the connection fails as a whole.
    """
    return tuple(_run(conn, extension) for extension in report.extensions if extension.statement)


def _run(conn: Connection, extension: Extension) -> Change:
    change = Change(extension.name, extension.statement or "", extension.installed_version)
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=LOCK_TIMEOUT)
            conn.execute(sql.SQL(change.statement))
    except psycopg.Error as error:
        if error.sqlstate is None or isinstance(error, GENERAL_FAILURES):
            raise
        if isinstance(error, RACES) and change.previous_version is None:
            return change
        parts = (error.diag.message_primary, error.diag.message_hint)
        return replace(change, refusal="; ".join(part for part in parts if part))
    return change


def with_changes(report: ExtensionsReport, changes: Iterable[Change]) -> ExtensionsReport:
    """The report after the changes, with advice that knows what the server refused."""
    changes = tuple(changes)
    refused = {change.name for change in changes if change.refusal}
    extensions = tuple(_after_refusal(report, refused))
    return replace(
        report, extensions=extensions, changes=changes, advice=advise(report.server, extensions)
    )


def _after_refusal(report: ExtensionsReport, refused: set[str]) -> Iterator[Extension]:
    for extension in report.extensions:
        if extension.name not in refused:
            yield extension
        elif report.server.has_admin_role:
            # The right is there, so it is the service that has to offer the extension first.
            yield replace(extension, needs_files=True)
        else:
            yield replace(extension, is_permitted=report.server.is_superuser)
