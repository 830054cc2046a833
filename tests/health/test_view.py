"""The table as a terminal of 80 columns shows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from aperture_db.health.checks import CHECKS
from aperture_db.health.report import (
    Cause,
    Finding,
    HealthReport,
    Result,
    Status,
    Verdict,
    decide,
)
from aperture_db.render.health import render_health, render_problems, render_watched
from tests.described import undescribed
from tests.snapshot import rendered

MONITOR = ('GRANT pg_monitor TO "reader";',)
FINDINGS = {
    "connections": (
        Finding(
            Status.CRITICAL,
            "96 of the 97 connections of the server are in use (99.0 %)",
            ("ALTER SYSTEM SET max_connections = 194;",
             "restart the server, which makes max_connections take effect"),
        ),
    ),
    "dead-rows": (
        Finding(
            Status.WARNING,
            "embeddings_768 has 1,200 dead rows, 9.1 % of all; "
             "vector search misses results as dead rows accumulate",
            ("aperture-db vacuum --reindex-hnsw --table embeddings_768",),
            "embeddings_768",
        ),
        Finding(
            Status.WARNING,
            "watch_history has 99,000 dead rows, 25.0 % of all",
            ("VACUUM (ANALYZE) watch_history;",),
            "watch_history",
        ),
    ),
    "growth": (
        Finding(
            Status.INFO,
            "0 samples over 0.0 days; the trend needs 3 over 7 days",
            ("aperture-db stats --record",),
        ),
    ),
}  # fmt: skip
LOCKED = (
    "a table is locked by pid 4711, psql, user admin, idle in transaction, "
    "in its transaction for 300 s"
)
SKIPPED = {
    "idle-in-transaction": (Cause.PRIVILEGE, "role reader sees only its own sessions", MONITOR),
    "blocked-queries": (Cause.PRIVILEGE, "role reader sees only its own sessions", MONITOR),
    "orphaned-rows": (
        Cause.LOCKED,
        LOCKED,
        ("SELECT pg_terminate_backend(4711);",),
    ),
}


def make_result(check_id: str) -> Result:
    check = next(check for check in CHECKS if check.id == check_id)
    findings = FINDINGS.get(check_id, ())
    cause = None
    if check_id in SKIPPED:
        cause, reason, advice = SKIPPED[check_id]
        findings = (Finding(Status.SKIPPED, reason, advice),)
    status = findings[0].status if findings else Status.OK
    summary = "not known" if cause and cause.is_trouble else "skipped" if cause else "as it was"
    return Result(
        check_id, check.area, status, summary, None, check.thresholds,
        findings[0].reason if findings else None,
        tuple(step for finding in findings for step in finding.advice), findings, cause, 0.01,
    )  # fmt: skip


def make_report(*check_ids: str) -> HealthReport:
    results = tuple(make_result(check_id) for check_id in check_ids)
    counts = {status: sum(r.status is status for r in results) for status in Status}
    verdict = decide(results, strict=False)
    return HealthReport(
        "db:5432", "aperture", datetime(2026, 1, 1, tzinfo=UTC), verdict, counts, results
    )


ALL = make_report("latency", "connections", "idle-in-transaction", "blocked-queries", "growth",
                  "dead-rows", "orphaned-rows", "migrations")  # fmt: skip


def test_what_is_wrong_stands_below(snapshot: Callable[[str, str], None]) -> None:
    snapshot("health/problems", rendered(render_health(ALL)))


def test_watching_shows_what_matters_first(snapshot: Callable[[str, str], None]) -> None:
    snapshot("health/watched", rendered(render_watched(ALL)))


def test_verbose_tells_what_is_good_to_know(snapshot: Callable[[str, str], None]) -> None:
    report = make_report("latency", "growth")
    snapshot("health/verbose", rendered(render_health(report, verbose=True)))


def test_green(snapshot: Callable[[str, str], None]) -> None:
    report = make_report("reachable", "latency", "wraparound", "default-rows", "autovacuum")
    assert report.verdict is Verdict.OK
    snapshot("health/green", rendered(render_health(report)))


def test_quiet_shows_problems_only(snapshot: Callable[[str, str], None]) -> None:
    snapshot("health/quiet", rendered(render_problems(ALL)))


def test_the_json_is_described() -> None:
    assert undescribed("health", HealthReport, Result, Finding) == set()
