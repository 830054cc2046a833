"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.02


# Makes the session report its statistics before its next statement. PostgreSQL 14 lacks the
# function; there a session reports at its end.
FLUSH_STATISTICS = """
DO $$
BEGIN
    IF to_regprocedure('pg_stat_force_next_flush()') IS NOT NULL THEN
        PERFORM pg_stat_force_next_flush();
    END IF;
END
$$
"""


def wait_until(
    condition: Callable[[], object], what: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Return as soon as `condition` is true; fail the test, naming `what`, when it stays false."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s still not true: {what}")
        time.sleep(POLL_SECONDS)


def waits_for_lock(conninfo: str) -> bool:
    """Whether a session of this database waits for a lock; those of other tests do not count."""
    with psycopg.connect(conninfo) as conn:
        found = conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        )
        return found.rowcount > 0
