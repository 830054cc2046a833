"""What Aperture needs to find in its database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aperture_db import aperture, extensions
from aperture_db.extensions import Extension, ExtensionsReport, ExtensionState
from aperture_db.format import plural
from aperture_db.health.check import NothingToCheckError, Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_aperture, refuse_unreadable
from aperture_db.migrations.directory import read_directory
from aperture_db.migrations.report import State
from aperture_db.migrations.status import collect
from aperture_db.postgres.catalog import visible_tables

CREATED_BY = {"vector": 2, "pgcrypto": 2, "pg_trgm": 60}
"""The numbers of the migrations that make the extensions."""
MIGRATE = "aperture-db migrate"


@check(
    "extensions",
    Area.APERTURE,
    about="vector, pgcrypto and pg_trgm are installed, new enough and without known faults.",
    source="check-extensions",
)
def required_extensions(context: Context) -> Outcome:
    report = extensions.collect(context.conn, context.target.host)
    context.shared.place = report.server.place
    due = _due_extensions(context)
    findings = tuple(
        finding
        for extension in report.extensions
        if (finding := _judge_extension(extension, report, due)) is not None
    )
    installed = [f"{e.name} {e.installed_version}" for e in report.extensions if e.is_usable]
    return Outcome(", ".join(installed) or "none", len(installed), findings)


def _due_extensions(context: Context) -> set[str]:
    """Those that the database, as far as it is migrated, already uses."""
    visible = visible_tables(context.tables())
    if not aperture.is_aperture(visible):
        return set()
    table = visible.get("aperture_migrations")
    if table is None or not table.may_select:
        return set(CREATED_BY)
    newest = context.number("newest_migration")
    return {name for name, migration in CREATED_BY.items() if migration <= newest}


def _judge_extension(
    extension: Extension, report: ExtensionsReport, due: set[str]
) -> Finding | None:
    if extension.state is ExtensionState.OK:
        return None
    advice = tuple(extensions.advise(report.server, [extension]))
    reason = f"{extension.name}: {extension.reason}"
    if extension.is_usable:
        return Finding(Status.WARNING, reason, advice, object=extension.name)
    if extension.name in due:
        return Finding(Status.CRITICAL, reason, advice, object=extension.name)
    if not extension.blocks_migration:
        reason = f"{extension.name} comes with the pending migrations"
        return Finding(Status.INFO, reason, (MIGRATE,), object=extension.name)
    return Finding(Status.WARNING, reason, advice, object=extension.name)


@check(
    "migrations",
    Area.APERTURE,
    about="No migration is pending. The value is how many are.",
    source="migrate --status; the bundled migrations are those of Aperture 0.7.8",
    thresholds=Thresholds(Unit.COUNT, warning=1),
)
def migrations(context: Context) -> Outcome:
    visible = visible_tables(context.tables())
    if "aperture_migrations" in visible:
        refuse_unreadable(context, [visible["aperture_migrations"]])
    status = collect(context.conn, read_directory(context.migrations))
    pending = len(status.pending)
    if status.has_untracked_schema:
        finding = Finding(
            Status.CRITICAL,
            "Aperture's tables are there without a record of the migrations that made them",
            ("aperture-db migrate --mark-applied NAME",),
        )
        return Outcome("not recorded", pending, (finding,))
    findings = []
    if (judged := context.judge(pending)) is not Status.OK:
        reason = f"{plural(pending, 'migration')} pending, the first is {status.pending[0]}"
        findings.append(Finding(judged, reason, (MIGRATE,)))
    findings += [
        Finding(
            Status.INFO,
            f"{name} is recorded and not among the bundled migrations: "
            "a newer Aperture or a development branch applied it",
            object=name,
        )
        for name in status.names(State.UNKNOWN)
    ]
    applied = len(status.names(State.APPLIED))
    return Outcome(f"{applied} applied, {pending} pending", pending, tuple(findings))


@dataclass(frozen=True)
class DefaultRows:
    """Rows that migrations make and Aperture counts on."""

    table: str
    status: Status
    """Without them."""
    without: str
    """What happens without them."""
    values: Mapping[str, str]
    """Literals by column; columns that this version lacks are left out."""
    is_single: bool = True
    """One row with id 1, or else any."""


# Where the value of the migrations is another than the column's default.
TOP_PICKS = {
    "id": "1",
    "series_use_symlinks": "true",
    "movies_popularity_source": "'emby_history'",
    "series_popularity_source": "'emby_history'",
    "series_min_unique_viewers": "2",
}
RATINGS = (
    ("G", 1), ("TV-Y", 1), ("TV-Y7", 2), ("TV-G", 3), ("PG", 4), ("TV-PG", 5), ("PG-13", 7),
    ("TV-14", 8), ("R", 9), ("TV-MA", 10), ("NC-17", 11), ("NR", 100), ("Unrated", 100),
)  # fmt: skip
DEFAULT_ROWS = (
    DefaultRows(
        "recommendation_config", Status.CRITICAL, "recommendations can't be made", {"id": "1"}
    ),
    DefaultRows("top_picks_config", Status.CRITICAL, "Top Picks can't be made", TOP_PICKS),
    DefaultRows("backup_config", Status.WARNING, "backups are not noted", {"id": "1"}),
    DefaultRows("setup_progress", Status.WARNING, "the setup assistant starts anew", {"id": "1"}),
    DefaultRows(
        "parental_rating_values",
        Status.WARNING,
        "the parental filter lets everything through",
        {},
        is_single=False,
    ),
)


@check(
    "default-rows",
    Area.APERTURE,
    about="The rows are there that migrations make and Aperture only updates or reads: "
    + ", ".join(rows.table for rows in DEFAULT_ROWS)
    + ".",
    source="the data steps of the migrations",
)
def default_rows(context: Context) -> Outcome:
    visible = need_aperture(context)
    present = [rows for rows in DEFAULT_ROWS if rows.table in visible]
    if not present:
        raise NothingToCheckError("not in this version")
    refuse_unreadable(context, [visible[rows.table] for rows in present])
    findings = []
    for rows in present:
        table = visible[rows.table]
        query = "default_row" if rows.is_single else "any_row"
        if not context.number(query, table=table.identifier):
            reason = f"{rows.table} lacks its default row{'' if rows.is_single else 's'}"
            advice = (_insert(rows, table.columns),)
            findings.append(
                Finding(rows.status, f"{reason}: {rows.without}", advice, object=rows.table)
            )
    missing = f"{len(findings)} of {len(present)} missing" if findings else f"all {len(present)}"
    return Outcome(missing, len(findings), tuple(findings))


def _insert(rows: DefaultRows, columns: list[str]) -> str:
    if not rows.is_single:
        values = ", ".join(f"('{name}', {value}, 'US')" for name, value in RATINGS)
        return _insert_into(rows.table, "rating_name, rating_value, country", values)
    used = {name: value for name, value in rows.values.items() if name in columns}
    return _insert_into(rows.table, ", ".join(used), f"({', '.join(used.values())})")


def _insert_into(table: str, columns: str, values: str) -> str:
    """A statement to show, made of the constants above."""
    return f"INSERT INTO {table} ({columns}) VALUES {values} ON CONFLICT DO NOTHING;"  # noqa: S608


@dataclass(frozen=True)
class KnownDrift:
    """A column that a first version of a migration did not make."""

    table: str
    column: str
    marker: str
    """Another column that the same migration makes."""
    definition: str


KNOWN_DRIFT = (
    KnownDrift(
        "user_taste_profiles",
        "min_franchise_size",
        "min_franchise_items",
        "integer NOT NULL DEFAULT 2",
    ),
)


@check(
    "schema-drift",
    Area.APERTURE,
    about="Columns are there that an early release of a migration left out, so that databases "
    "made by it lack them for good.",
    source="the history of migration 0087",
)
def schema_drift(context: Context) -> Outcome:
    visible = need_aperture(context)
    findings = tuple(
        Finding(
            Status.WARNING,
            f"{drift.table} lacks the column {drift.column}: its migration was applied in an "
            "early form",
            (f"ALTER TABLE {drift.table} ADD COLUMN {drift.column} {drift.definition};",),
            object=f"{drift.table}.{drift.column}",
        )
        for drift in KNOWN_DRIFT
        if drift.table in visible
        and drift.marker in visible[drift.table].columns
        and drift.column not in visible[drift.table].columns
    )
    return Outcome("columns missing" if findings else "none", len(findings), findings)
