"""Whether the data is what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from aperture_db.format import format_time, quote_identifier
from aperture_db.health.changing import is_managed
from aperture_db.health.check import Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status

DATABASE_COLLATION_SINCE = 150000


@dataclass(frozen=True)
class Constraint:
    """A row of health/constraints.sql."""

    constraint_name: str
    name: str
    """As SQL writes it."""
    table_name: str
    kind: str


@check(
    "constraints",
    Area.INTEGRITY,
    about="Every constraint was checked against all rows (no NOT VALID is left).",
    source="pg_constraint.convalidated",
)
def constraints(context: Context) -> Outcome:
    unchecked = context.rows("constraints", Constraint)
    findings = tuple(
        Finding(
            Status.WARNING,
            f"the {constraint.kind} constraint {constraint.name} of {constraint.table_name} was "
            "never checked against the rows that were there",
            (f"ALTER TABLE {constraint.table_name} VALIDATE CONSTRAINT {constraint.name};",),
            object=constraint.constraint_name,
        )
        for constraint in unchecked
    )
    return Outcome(f"{len(findings)} not valid" if findings else "valid", len(findings), findings)


@dataclass(frozen=True)
class Collation:
    """A row of health/collations.sql and health/database_collation.sql."""

    name: str
    built_with: str
    present: str | None


@check(
    "collation-version",
    Area.INTEGRITY,
    about="The sort order of text is the one that the indexes were built with; an update of the "
    "operating system can change it, and indexes then miss rows.",
    source="pg_database.datcollversion (from PostgreSQL 15 on), pg_collation.collversion",
)
def collation_version(context: Context) -> Outcome:
    database = quote_identifier(context.identity().database)
    findings = [
        _changed(collation, database, f"ALTER COLLATION {collation.name} REFRESH VERSION;")
        for collation in context.rows("collations", Collation)
    ]
    is_tracked = context.conn.info.server_version >= DATABASE_COLLATION_SINCE
    if is_tracked:
        refresh = f"ALTER DATABASE {database} REFRESH COLLATION VERSION;"
        findings += [
            _changed(collation, database, refresh)
            for collation in context.rows("database_collation", Collation)
        ]
    unchanged = "unchanged" if is_tracked else "the default is only tracked from 15 on"
    return Outcome("changed" if findings else unchanged, len(findings), tuple(findings))


def _changed(collation: Collation, database: str, refresh: str) -> Finding:
    reason = (
        f"{collation.name} collation was version {collation.built_with} when the indexes were "
        f"built and is {collation.present or 'unknown'} now: text may be sorted differently"
    )
    advice = (f"REINDEX DATABASE {database};", refresh)
    return Finding(Status.WARNING, reason, advice, object=collation.name)


@dataclass(frozen=True)
class ChecksumFailures:
    """A row of health/checksums.sql."""

    name: str
    failures: int
    last_at: datetime | None


@check(
    "checksums",
    Area.INTEGRITY,
    about="No page failed its checksum when it was read, in any database of the server.",
    source="pg_stat_database.checksum_failures; info where the server keeps no checksums",
)
def checksums(context: Context) -> Outcome:
    if context.settings("data_checksums")["data_checksums"] != "on":
        reason = "the server keeps no checksums, so a failing disk would go unnoticed"
        advice: tuple[str, ...] = ()
        if not is_managed(context):
            advice = ("stop the server, and run: pg_checksums --enable -D <data directory>",)
        return Outcome("off", None, (Finding(Status.INFO, reason, advice),))
    failed = context.rows("checksums", ChecksumFailures)
    findings = tuple(
        Finding(
            Status.CRITICAL,
            f"{row.failures:,} pages of {row.name} failed their checksum"
            + (f", the last one at {format_time(row.last_at)}" if row.last_at else ""),
            ("check the disk, and restore the last good backup: aperture-db backup --list",),
            object=row.name,
        )
        for row in failed
    )
    total = sum(row.failures for row in failed)
    return Outcome(f"{total:,} failures" if total else "no failures", total, findings)
