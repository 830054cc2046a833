"""Creates and updates extensions, and uses them for real, in a transaction that is rolled back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

import psycopg
from pgvector import HalfVector
from psycopg import errors as pg
from psycopg import sql

from aperture_db import sql as queries
from aperture_db.extensions.collect import advise, collect
from aperture_db.extensions.report import (
    Extension,
    ExtensionChange,
    ExtensionsReport,
    Probe,
    ProbeOutcome,
)
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection

ProbeResult: TypeAlias = tuple[ProbeOutcome, str]
"""The outcome and its details."""

LOCK_TIMEOUT = "10s"
# Failures of the whole server: the next statement would fail in the same way.
GENERAL_FAILURES = (
    pg.ReadOnlySqlTransaction,
    pg.LockNotAvailable,
    pg.DiskFull,
    pg.AdminShutdown,
    pg.CrashShutdown,
)
# Another session created the extension in the meantime.
RACES = (pg.UniqueViolation, pg.DuplicateObject)
STATEMENT_TIMEOUT = "30s"
# An HNSW search is approximate; on so few vectors it misses none unless something is wrong.
NEAREST = 10
ENOUGH_OF_NEAREST = 9
READ_ONLY_REASON = "it needs a temporary table, and this connection can only read"
NO_TEMPORARY_REASON = "it needs a temporary table, and this role may not create one"
# Functions of pgcrypto, whose results are known.
RANDOM = sql.SQL(
    "SELECT gen_random_uuid(), gen_random_uuid(), encode({}.digest('aperture', 'sha256'), 'hex')"
)
# PostgreSQL's manual states its value: 0.36363637.
SIMILARITY = sql.SQL("SELECT {}.similarity('word', 'two words')")
DISTANCE = sql.SQL(
    "SELECT %(first)s::{vector}.halfvec OPERATOR({vector}.<=>) %(second)s::{vector}.halfvec, "
    "%(first)s::{vector}.halfvec::text"
)


def check(
    conn: Connection, host: str, *, create: bool = False, try_out: bool = False
) -> ExtensionsReport:
    """Report on the extensions, after creating and updating them with `create` and probing them
    with `try_out`.

    Both need a connection that was not opened read-only; without them nothing is written.
    """
    with conn.transaction():
        report = collect(conn, host)
    if create:
        changes = create_missing(conn, report)
        with conn.transaction():
            report = with_changes(collect(conn, host), changes)
    return replace(report, probes=probe(conn, report)) if try_out else report


def create_missing(conn: Connection, report: ExtensionsReport) -> tuple[ExtensionChange, ...]:
    """Create missing extensions and update old ones.

    Tries also where the role seems to lack the privilege: managed services grant it in ways that
    the catalogs don't show. Each statement has its own transaction; a refused one does not end the
    others. Waits up to 10 s for locks. Raises the driver's error when the server fails as a whole.
    """
    return tuple(_create(conn, extension) for extension in report.extensions if extension.statement)


def _create(conn: Connection, extension: Extension) -> ExtensionChange:
    change = ExtensionChange(extension.name, extension.statement or "", extension.installed_version)
    try:
        with conn.transaction():
            set_local(conn, lock_timeout=LOCK_TIMEOUT)
            # It creates in the first schema of the path.
            conn.use_original_search_path()
            conn.execute(sql.SQL(change.statement))
    except psycopg.Error as error:
        if error.sqlstate is None or isinstance(error, GENERAL_FAILURES):
            raise
        if isinstance(error, RACES) and change.previous_version is None:
            return change
        parts = (error.diag.message_primary, error.diag.message_hint)
        return replace(change, refusal="; ".join(part for part in parts if part))
    return change


def with_changes(report: ExtensionsReport, changes: Iterable[ExtensionChange]) -> ExtensionsReport:
    """Add the changes to a report, and adapt its advice to what the server refused."""
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
            # The privilege is there, so the service has to offer the extension first.
            yield replace(extension, needs_files=True)
        else:
            yield replace(extension, is_permitted=report.server.is_superuser)


def probe(conn: Connection, report: ExtensionsReport) -> tuple[Probe, ...]:
    """Use each extension as Aperture does.

    On a read-only connection and on a standby the search by index is skipped, because it needs a
    temporary table. Changes nothing; takes no locks on Aperture's tables.
    """
    usable = {
        extension.name: sql.Identifier(extension.schema)
        for extension in report.extensions
        if extension.is_usable and extension.schema
    }
    with conn.transaction(force_rollback=True):
        set_local(conn, statement_timeout=STATEMENT_TIMEOUT)
        return tuple(
            _attempt(conn, extension, usable[extension], what, attempt)
            if extension in usable
            else Probe(extension, what, ProbeOutcome.SKIPPED, f"{extension} is not usable")
            for extension, what, attempt in ATTEMPTS
        )


def _attempt(
    conn: Connection,
    extension: str,
    schema: sql.Identifier,
    what: str,
    attempt: Callable[[Connection, sql.Identifier], ProbeResult],
) -> Probe:
    try:
        with conn.transaction():
            outcome, detail = attempt(conn, schema)
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        outcome, detail = ProbeOutcome.FAILED, error.diag.message_primary or str(error)
    return Probe(extension, what, outcome, detail)


def _measure_distance(conn: Connection, schema: sql.Identifier) -> ProbeResult:
    first, second = HalfVector([1.0, 2.0, 3.0]), HalfVector([3.0, 2.0, 1.0])
    texts = {"first": first.to_text(), "second": second.to_text()}
    row = conn.execute(DISTANCE.format(vector=schema), texts).fetchone()
    distance, returned = row or (math.nan, "")
    expected = 1 - 10 / 14
    detail = f"{distance:.4f}, expected {expected:.4f}"
    is_same = HalfVector.from_text(returned) == first
    return _passed_if(math.isclose(distance, expected, abs_tol=1e-3) and is_same), detail


def _search_by_index(conn: Connection, schema: sql.Identifier) -> ProbeResult:
    row = conn.execute(
        "SELECT current_setting('transaction_read_only')::bool, "
        "has_database_privilege(current_database(), 'TEMPORARY')"
    ).fetchone()
    is_read_only, may_create_temporary = row or (True, False)
    if is_read_only or not may_create_temporary:
        return ProbeOutcome.SKIPPED, READ_ONLY_REASON if is_read_only else NO_TEMPORARY_REASON
    conn.execute(queries.compose("extensions/probe_table", vector=schema))
    conn.execute(queries.compose("extensions/probe_index", vector=schema))
    set_local(conn, **{"enable_seqscan": "off", "hnsw.ef_search": "100"})
    search = queries.compose("extensions/probe_search", vector=schema)
    plan = conn.execute(sql.SQL("EXPLAIN ") + search).fetchall()
    by_index = set(conn.execute(search).fetchall())
    set_local(conn, enable_seqscan="on", enable_indexscan="off")
    exact = set(conn.execute(search).fetchall())
    if not any("aperture_db_probe_hnsw" in line for (line,) in plan):
        return ProbeOutcome.FAILED, "the planner did not use the HNSW index"
    found = len(by_index & exact)
    detail = f"{found} of the {NEAREST} nearest found"
    return _passed_if(found >= ENOUGH_OF_NEAREST), detail


def _make_random_ids(conn: Connection, schema: sql.Identifier) -> ProbeResult:
    first, second, digest = conn.execute(RANDOM.format(schema)).fetchone() or ()
    if digest != hashlib.sha256(b"aperture").hexdigest():
        return ProbeOutcome.FAILED, "digest() returned a wrong SHA-256"
    is_random = first != second and first.version == 4
    return _passed_if(is_random), "version 4, SHA-256"


def _compare_words(conn: Connection, schema: sql.Identifier) -> ProbeResult:
    (similarity,) = conn.execute(SIMILARITY.format(schema)).fetchone() or (math.nan,)
    expected = 4 / 11
    detail = f"{similarity:.4f}, expected {expected:.4f}"
    return _passed_if(math.isclose(similarity, expected, abs_tol=1e-4)), detail


def _passed_if(condition: bool) -> ProbeOutcome:
    return ProbeOutcome.PASSED if condition else ProbeOutcome.FAILED


ATTEMPTS: tuple[tuple[str, str, Callable[[Connection, sql.Identifier], ProbeResult]], ...] = (
    ("vector", "distance of two halfvec values", _measure_distance),
    ("vector", "search by HNSW index", _search_by_index),
    ("pgcrypto", "random ids and a digest", _make_random_ids),
    ("pg_trgm", "similarity of two words", _compare_words),
)
