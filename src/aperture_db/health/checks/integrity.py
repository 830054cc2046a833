"""The integrity of the data: orphaned rows, constraints, collations and checksums."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from aperture_db import aperture
from aperture_db import sql as queries
from aperture_db.clean import Kind
from aperture_db.format import format_time, quote_identifier
from aperture_db.health.advice import is_managed, measure_cleanable
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    SkippedError,
    check,
    need_aperture,
    refuse_unreadable,
)
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import set_local, timeout_parameter

DATABASE_COLLATION_SINCE = 150000


@dataclass(frozen=True)
class Constraint:
    """A row of health/constraints."""

    constraint_name: str
    name: str
    """As SQL writes it."""
    table_name: str
    kind: str


@check(
    "constraints",
    Area.INTEGRITY,
    about="Every constraint is validated (none is NOT VALID).",
    source="pg_constraint.convalidated",
)
def constraints(context: Context) -> CheckOutcome:
    unchecked = context.rows("constraints", Constraint)
    findings = tuple(
        Finding(
            Status.WARNING,
            f"the {constraint.kind} constraint {constraint.name} of {constraint.table_name} was "
            "never validated against the existing rows",
            (f"ALTER TABLE {constraint.table_name} VALIDATE CONSTRAINT {constraint.name};",),
            object=constraint.constraint_name,
        )
        for constraint in unchecked
    )
    summary = f"{len(findings)} not valid" if findings else "valid"
    return CheckOutcome(summary, len(findings), findings)


@dataclass(frozen=True)
class DisabledTrigger:
    """A row of health/disabled_triggers."""

    trigger_name: str
    name: str
    """As SQL writes it."""
    table_name: str
    constraint_name: str | None
    """Of the foreign key that it enforces."""


@check(
    "disabled-triggers",
    Area.INTEGRITY,
    about="No trigger is disabled, as an interrupted import leaves them: searches miss rows then, "
    "and foreign keys are not enforced.",
    source="pg_trigger.tgenabled",
)
def disabled_triggers(context: Context) -> CheckOutcome:
    findings = tuple(
        Finding(
            Status.WARNING,
            f"trigger {trigger.name} of {trigger.table_name} is disabled"
            + (f": {trigger.constraint_name} is not enforced" if trigger.constraint_name else ""),
            (f"ALTER TABLE {trigger.table_name} ENABLE TRIGGER {trigger.name};",),
            object=trigger.trigger_name,
        )
        for trigger in context.rows("disabled_triggers", DisabledTrigger)
    )
    summary = f"{len(findings)} disabled" if findings else "none"
    return CheckOutcome(summary, len(findings), findings)


@dataclass(frozen=True)
class Collation:
    """A row of health/collations.sql and health/database_collation.sql."""

    name: str
    built_with: str
    present: str | None


@check(
    "collation-version",
    Area.INTEGRITY,
    about="The collations' sort order is the one that the indexes were built with; an update of "
    "the operating system can change it, and indexes then miss rows.",
    source="pg_database.datcollversion (from PostgreSQL 15 on), pg_collation.collversion",
)
def collation_version(context: Context) -> CheckOutcome:
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
    unchanged = "unchanged" if is_tracked else "the default is only tracked since PostgreSQL 15"
    return CheckOutcome("changed" if findings else unchanged, len(findings), tuple(findings))


def _changed(collation: Collation, database: str, refresh: str) -> Finding:
    reason = (
        f"{collation.name} collation was version {collation.built_with} when the indexes were "
        f"built and is now {collation.present or 'unknown'}: the sort order may differ"
    )
    advice = (f"REINDEX DATABASE {database};", refresh)
    return Finding(Status.WARNING, reason, advice, object=collation.name)


@dataclass(frozen=True)
class ChecksumFailures:
    """A row of health/checksums."""

    name: str
    failures: int
    last_at: datetime | None


@check(
    "checksums",
    Area.INTEGRITY,
    about="No page failed its checksum when it was read, in any database of the server.",
    source="pg_stat_database.checksum_failures; info where data checksums are off",
)
def checksums(context: Context) -> CheckOutcome:
    if context.settings("data_checksums")["data_checksums"] != "on":
        reason = "data checksums are off, so disk errors may go unnoticed"
        advice: tuple[str, ...] = ()
        if not is_managed(context):
            advice = ("stop the server and run: pg_checksums --enable -D <data directory>",)
        return CheckOutcome("off", None, (Finding(Status.INFO, reason, advice),))
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
    return CheckOutcome(f"{total:,} failures" if total else "no failures", total, findings)


@dataclass(frozen=True)
class IndexChecker:
    """A row of health/index_checker."""

    schema: str
    may_use_schema: bool
    may_check: bool


@dataclass(frozen=True)
class CheckedIndex:
    """A row of health/checkable_indexes."""

    oid: int
    name: str
    rebuild: str


@check(
    "index-integrity",
    Area.INTEGRITY,
    about="Every b-tree index has an entry for every row of its table, and its pages are intact. "
    "Reads all tables, so it only runs with `--only index-integrity`; give it time with "
    "`--timeout`.",
    source="the extension amcheck (bt_index_check with heapallindexed)",
    on_request=True,
)
def index_integrity(context: Context) -> CheckOutcome:
    statement = _checking_statement(context)
    indexes = context.rows("checkable_indexes", CheckedIndex)
    findings: list[Finding] = []
    deadline = time.monotonic() + context.timeout_seconds
    checked = 0
    for index in indexes:
        left = deadline - time.monotonic()
        try:
            with context.conn.transaction():
                set_local(context.conn, statement_timeout=timeout_parameter(left))
                context.conn.execute(statement, {"oid": index.oid})
        except (psycopg.errors.IndexCorrupted, psycopg.errors.DataCorrupted) as error:
            reason = f"index {index.name} is damaged: {error.diag.message_primary}"
            findings.append(Finding(Status.CRITICAL, reason, (index.rebuild,), object=index.name))
        except psycopg.errors.QueryCanceled:
            break
        except psycopg.errors.LockNotAvailable:
            findings.append(Finding(Status.INFO, f"{index.name} is locked and was not checked"))
        except psycopg.errors.UndefinedObject:
            continue  # It was dropped in the meantime.
        checked += 1
    if not findings and checked < len(indexes):
        seconds = context.timeout_seconds
        raise SkippedError(
            Cause.TIMEOUT,
            f"{checked:,} of {len(indexes):,} indexes checked within {seconds:g} s, none damaged",
            (f"aperture-db health --only index-integrity --timeout {seconds * 12:g}",),
        )
    damaged = sum(finding.status is Status.CRITICAL for finding in findings)
    summary = f"{damaged:,} damaged" if damaged else f"{checked:,} checked"
    return CheckOutcome(summary, damaged, tuple(findings))


def _checking_statement(context: Context) -> sql.Composed:
    """Raises SkippedError without amcheck, or without the privilege to use it."""
    checker = context.row("index_checker", IndexChecker)
    role = quote_identifier(context.identity().role)
    if checker is None:
        raise SkippedError(
            Cause.FAILED, "the extension amcheck is not installed", ("CREATE EXTENSION amcheck;",)
        )
    grants = {
        f"GRANT USAGE ON SCHEMA {checker.schema} TO {role};": checker.may_use_schema,
        f"GRANT EXECUTE ON FUNCTION {checker.schema}.bt_index_check(regclass, boolean) TO {role};":
            checker.may_check,
    }  # fmt: skip
    if missing := tuple(grant for grant, is_held in grants.items() if not is_held):
        reason = f"role {context.identity().role} may not run amcheck; a superuser can let it"
        raise SkippedError(Cause.PRIVILEGE, reason, missing)
    return queries.compose("health/check_index", schema_of_amcheck=sql.SQL(checker.schema))


@dataclass(frozen=True)
class OrphanKind:
    """A kind of reference without a foreign key."""

    name: str
    """As `--ignore orphaned-rows:name` has it."""
    reason: str
    """Printed before the count."""
    advice: tuple[str, ...]
    table: str = ""
    column: str = ""
    """The reference's, as in the registry of Aperture's tables."""

    @property
    def query(self) -> str:
        """The name of its query in sql/health.sql."""
        return f"orphans_{self.name.replace('-', '_')}"

    @property
    def reads(self) -> dict[str, set[str]]:
        """The columns that the query reads, by table."""
        references = aperture.TABLES[self.table].references
        reference = next(each for each in references if each.column == self.column)
        columns = {self.table: {self.column, reference.type_column or self.column}}
        for target in reference.targets:
            table, _, column = target.partition(".")
            columns.setdefault(table, set()).add(column)
        return columns


DROP_DEAD_EXAMPLES = (
    "UPDATE channels SET example_movie_ids = ARRAY(SELECT e.id FROM "
    "unnest(example_movie_ids) WITH ORDINALITY AS e (id, position) "
    "WHERE EXISTS (SELECT FROM movies WHERE movies.id = e.id) ORDER BY e.position) "
    "WHERE EXISTS (SELECT FROM unnest(example_movie_ids) AS e (id) "
    "WHERE NOT EXISTS (SELECT FROM movies WHERE movies.id = e.id));"
)
DROP_DEAD_SOURCES = (
    "UPDATE graph_playlists SET source_item_id = NULL WHERE source_item_id IS NOT NULL "
    "AND source_item_id NOT IN (SELECT id::text FROM movies) "
    "AND source_item_id NOT IN (SELECT id::text FROM series);"
)
CHOOSE_LIBRARIES = "choose the libraries again in Aperture under Settings, Libraries"
VERDICTS = OrphanKind(
    "verdicts", "cached similarity verdicts on deleted titles",
    (f"aperture-db clean --apply {Kind.ORPHANS}",),
)  # fmt: skip
MODELS = OrphanKind(
    "models", "custom AI models that are not in use",
    ("remove them in Aperture under Settings, AI, if they are not needed",),
)  # fmt: skip
KINDS = (
    OrphanKind(
        "channel-examples", "example films of channels that were deleted (Aperture skips them)",
        (DROP_DEAD_EXAMPLES,), "channels", "example_movie_ids",
    ),
    OrphanKind(
        "graph-playlists", "playlists made from a deleted title",
        (DROP_DEAD_SOURCES,), "graph_playlists", "source_item_id",
    ),
    OrphanKind(
        "movie-libraries", "films of a library that is no longer configured",
        (CHOOSE_LIBRARIES,), "movies", "provider_library_id",
    ),
    OrphanKind(
        "series-libraries", "series of a library that is no longer configured",
        (CHOOSE_LIBRARIES,), "series", "provider_library_id",
    ),
    OrphanKind(
        "excluded-libraries", "libraries that users exclude and that are no longer configured",
        ("nothing; the entries have no effect until their users choose again in Aperture",),
        "user_preferences", "settings",
    ),
    OrphanKind(
        "collections", "films whose collection is missing",
        ("run the job enrich-metadata in Aperture under Jobs",), "movies", "collection_id",
    ),
    OrphanKind(
        "images", "uploaded pictures of a deleted library or playlist",
        ("delete them in Aperture, which removes their files too",), "media_images", "entity_id",
    ),
)  # fmt: skip


@check(
    "orphaned-rows",
    Area.INTEGRITY,
    about="References without a foreign key point to existing rows: "
    + ", ".join(kind.name for kind in (VERDICTS, *KINDS, MODELS))
    + ". The value is the number of orphans; the thresholds apply to each kind, fewer are info.",
    source="the columns of Aperture that refer to other tables without a foreign key; clean",
    thresholds=Thresholds(Unit.COUNT, warning=1_000),
)
def orphaned_rows(context: Context) -> CheckOutcome:
    visible = need_aperture(context)
    counts = [(VERDICTS, measure_cleanable(context, Kind.ORPHANS).rows or 0)]
    for kind in KINDS:
        if _has_columns(visible, kind.reads):
            refuse_unreadable(context, [visible[table] for table in kind.reads])
            counts.append((kind, context.number(kind.query)))
    if _has_columns(visible, {"custom_ai_models": {"function_type"}, "system_settings": {"value"}}):
        refuse_unreadable(context, [visible["custom_ai_models"], visible["system_settings"]])
        counts.append((MODELS, context.number(MODELS.query, _used_models(context))))
    total = sum(count for _, count in counts)
    findings = tuple(_orphaned(context, kind, count) for kind, count in counts if count)
    return CheckOutcome(f"{total:,}" if total else "none", total, findings)


def _orphaned(context: Context, kind: OrphanKind, count: int) -> Finding:
    """Info below the threshold: single orphans are what everyday deletions leave."""
    status = context.judge(count)
    shown = Status.INFO if status is Status.OK else status
    return Finding(shown, f"{kind.reason}: {count:,}", kind.advice, object=kind.name)


def _has_columns(visible: Mapping[str, Table], columns: Mapping[str, set[str]]) -> bool:
    return all(
        table in visible and names <= set(visible[table].columns)
        for table, names in columns.items()
    )


def _used_models(context: Context) -> dict[str, object]:
    """Function, provider and model of each function that is configured."""
    rows = context.conn.execute(
        queries.compose("aperture/settings"), {"keys": ["ai_config"]}
    ).fetchall()
    try:
        config = json.loads(rows[0][1]) if rows else {}
    except ValueError:
        config = {}
    used = {
        function: choice
        for function, choice in (config.items() if isinstance(config, dict) else ())
        if isinstance(choice, dict)
    }
    return {
        "functions": list(used),
        "providers": [str(choice.get("provider")) for choice in used.values()],
        "models": [str(choice.get("model")) for choice in used.values()],
    }
