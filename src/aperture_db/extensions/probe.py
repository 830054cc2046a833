"""Uses the extensions for real, in a transaction that is rolled back."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import TypeAlias

import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

from aperture_db import sql
from aperture_db.extensions.report import ExtensionsReport, Probe, ProbeOutcome
from aperture_db.postgres.connection import Connection, set_local

Outcome: TypeAlias = tuple[ProbeOutcome, str]

STATEMENT_TIMEOUT = "30s"
# An HNSW search is approximate; on so few vectors it misses none unless something is wrong.
NEAREST = 10
ENOUGH_OF_NEAREST = 9
READ_ONLY_REASON = "it needs a temporary table, and this connection can only read"
NO_TEMPORARY_REASON = "it needs a temporary table, and this role may not create one"


def probe(conn: Connection, report: ExtensionsReport) -> tuple[Probe, ...]:
    """Try what Aperture does with each extension.

    Works on a read-only connection and on a standby, where the search by index is skipped: it
    needs a temporary table. Nothing remains; takes no locks on Aperture's tables.
    """
    usable = {extension.name for extension in report.extensions if extension.is_usable}
    with conn.transaction(force_rollback=True):
        set_local(conn, statement_timeout=STATEMENT_TIMEOUT)
        return tuple(
            _run(conn, extension, what, attempt)
            if extension in usable
            else Probe(extension, what, ProbeOutcome.SKIPPED, f"{extension} is not usable")
            for extension, what, attempt in ATTEMPTS
        )


def _run(
    conn: Connection, extension: str, what: str, attempt: Callable[[Connection], Outcome]
) -> Probe:
    try:
        with conn.transaction():
            outcome, detail = attempt(conn)
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        outcome, detail = ProbeOutcome.FAILED, error.diag.message_primary or str(error)
    return Probe(extension, what, outcome, detail)


def _measure_distance(conn: Connection) -> Outcome:
    register_vector(conn)
    first, second = HalfVector([1.0, 2.0, 3.0]), HalfVector([3.0, 2.0, 1.0])
    row = conn.execute("SELECT %s::halfvec <=> %s::halfvec, %s::halfvec", [first, second, first])
    distance, returned = row.fetchone() or (math.nan, None)
    expected = 1 - 10 / 14
    detail = f"{distance:.4f}, expected {expected:.4f}"
    return _passed(math.isclose(distance, expected, abs_tol=1e-3) and returned == first), detail


def _search_by_index(conn: Connection) -> Outcome:
    row = conn.execute(
        "SELECT current_setting('transaction_read_only')::bool, "
        "has_database_privilege(current_database(), 'TEMPORARY')"
    ).fetchone()
    is_read_only, may_create_temporary = row or (True, False)
    if is_read_only or not may_create_temporary:
        return ProbeOutcome.SKIPPED, READ_ONLY_REASON if is_read_only else NO_TEMPORARY_REASON
    conn.execute(sql.load("extensions/probe_table"))
    conn.execute(sql.load("extensions/probe_index"))
    set_local(conn, **{"enable_seqscan": "off", "hnsw.ef_search": "100"})
    plan = conn.execute("EXPLAIN " + sql.load("extensions/probe_search")).fetchall()
    by_index = set(conn.execute(sql.load("extensions/probe_search")).fetchall())
    set_local(conn, enable_seqscan="on", enable_indexscan="off")
    exact = set(conn.execute(sql.load("extensions/probe_search")).fetchall())
    if not any("aperture_db_probe_hnsw" in line for (line,) in plan):
        return ProbeOutcome.FAILED, "the planner did not use the HNSW index"
    found = len(by_index & exact)
    detail = f"{found} of the {NEAREST} nearest found"
    return _passed(found >= ENOUGH_OF_NEAREST), detail


def _make_random_ids(conn: Connection) -> Outcome:
    first, second, digest = conn.execute(sql.load("extensions/probe_random")).fetchone() or ()
    if digest != hashlib.sha256(b"aperture").hexdigest():
        return ProbeOutcome.FAILED, "digest() returned a wrong SHA-256"
    is_random = first != second and first.version == 4
    return _passed(is_random), "version 4, SHA-256"


def _compare_words(conn: Connection) -> Outcome:
    (similarity,) = conn.execute(sql.load("extensions/probe_similarity")).fetchone() or (math.nan,)
    expected = 4 / 11
    detail = f"{similarity:.4f}, expected {expected:.4f}"
    return _passed(math.isclose(similarity, expected, abs_tol=1e-4)), detail


def _passed(condition: bool) -> ProbeOutcome:
    return ProbeOutcome.PASSED if condition else ProbeOutcome.FAILED


ATTEMPTS: tuple[tuple[str, str, Callable[[Connection], Outcome]], ...] = (
    ("vector", "distance of two halfvec values", _measure_distance),
    ("vector", "search by HNSW index", _search_by_index),
    ("pgcrypto", "random ids and a digest", _make_random_ids),
    ("pg_trgm", "similarity of two words", _compare_words),
)
