"""Plans a purge: every effect, counted exactly, within one transaction that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import psycopg

from aperture_db.aperture import group_of, read_active_model, read_embedding_tables
from aperture_db.aperture.schema import KEPT_TABLES, count_waiting, missing_grant
from aperture_db.errors import ApertureDbError
from aperture_db.format import plural
from aperture_db.migrations.directory import MigrationDirectory, read_directory
from aperture_db.postgres import catalog
from aperture_db.postgres.activity import LockMode
from aperture_db.postgres.catalog import Database
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.session import Connection
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.assessment import (
    Assessment,
    assess,
    assess_rebuild,
    read_sizes,
    require_privileges,
    shown_name,
)
from aperture_db.purge.consequences import (
    PurgeContext,
    find_unrecoverable,
    find_warnings,
    jobs_after,
)
from aperture_db.purge.deletion import DeletionWork
from aperture_db.purge.guards import NO_KEEP, UserDataKeeper, describe_refusal, locks_for
from aperture_db.purge.rebuild import Rebuildable, RebuildWork, require_rebuildable
from aperture_db.purge.report import Preparation, PurgePlan, PurgeWarning, Unrecoverable
from aperture_db.purge.scopes import scope_of
from aperture_db.purge.selection import PurgeSelection, select
from aperture_db.relink.keep import require_may_keep
from aperture_db.relink.kept import refuse_hidden_rows

STOP_APERTURE = (
    "Stop Aperture (docker stop aperture): a job that runs meanwhile works with deleted ids."
)
EXPORT_RATINGS = "Export the ratings with the titles' IMDb and TMDB ids: add --export-ratings FILE."
ADDITIONS = (
    "Indexes, triggers, policies, columns and places in publications that you have added to "
    "Aperture's tables are kept; save the values of such columns, which will be deleted."
)
START_APERTURE = "Start Aperture again (docker start aperture)."
SETUP = "Finish the setup wizard at once: until then anybody can, without logging in."
MANUAL_RATINGS = "manual ratings"
KEPT_ROWS = "rows kept for relink"


def make_plan(
    conn: Connection, target: PurgeTarget, options: PurgeOptions, lock_timeout_seconds: float
) -> PurgePlan:
    """Count the effects of a purge. Needs SELECT on the tables concerned.

    Raises BusyError, naming the holder, when a table can't be read in time, and ApertureDbError
    for any obstacle that would make the purge fail.
    """
    try:
        with conn.transaction():
            lock_timeout = timeout_parameter(lock_timeout_seconds)
            set_local(conn, lock_timeout=lock_timeout)
            refuse_hidden_rows(conn, "purge refused, nothing was changed")
            if target is PurgeTarget.EVERYTHING:
                return _plan_rebuild(conn, read_directory(), options)
            return _plan_deletion(conn, target, options)
    except psycopg.errors.LockNotAvailable as error:
        tables = [table for table in catalog.read_tables(conn) if group_of(table.name)]
        modes = LockMode.ACCESS_SHARE.conflicts
        raise describe_refusal(conn, tables, modes, lock_timeout_seconds) from error


def require_doable(conn: Connection, plan: PurgePlan) -> None:
    """Raise ApertureDbError when this connection cannot carry out the plan."""
    database = catalog.read_database(conn)
    if database.is_standby:
        raise ApertureDbError(
            "this database is read-only, nothing was changed",
            why="it is a standby",
            next_step="connect to the primary server",
            code="read_only",
        )
    if plan.user_data is not None:
        require_may_keep(conn, NO_KEEP)
    require_privileges(plan.missing_privileges, database.role)
    if plan.what is PurgeTarget.EVERYTHING and not plan.options.include_kept:
        _require_nothing_waiting(conn)


def _require_nothing_waiting(conn: Connection) -> None:
    """Raise ApertureDbError when user data waits for relink: a complete reset would strand it."""
    if rows := count_waiting(conn, catalog.visible_tables(catalog.read_tables(conn))):
        raise ApertureDbError(
            f"purge refused, nothing was changed: {plural(rows, 'row')} kept by earlier purges "
            f"{'waits' if rows == 1 else 'wait'} to be put back",
            why="without its users and titles, this database may never get them back",
            next_step="aperture-db relink --apply puts them back, relink --export FILE saves them; "
            "--include-kept deletes them, too",
            code="kept_data",
        )


def make_work(plan: PurgePlan) -> DeletionWork | RebuildWork:
    """The work with which `execute` carries out a plan."""
    assert plan.preparation is not None
    user_data = UserDataKeeper(plan.what, plan.options)
    if plan.what is PurgeTarget.EVERYTHING:
        return RebuildWork(read_directory(), plan.preparation, user_data)
    return DeletionWork(scope_of(plan.what, plan.options), plan.preparation, user_data)


def _plan_deletion(conn: Connection, target: PurgeTarget, options: PurgeOptions) -> PurgePlan:
    """Plan anything but everything, and look for the privileges that the purge will need."""
    database = catalog.read_database(conn)
    scope = scope_of(target, options)
    selection = select(conn, scope)
    assessment = assess(conn, selection, database.role, read_sizes(conn, selection))
    return _complete(conn, target, options, database, selection, assessment, scope.kept)


def _plan_rebuild(
    conn: Connection, directory: MigrationDirectory, options: PurgeOptions
) -> PurgePlan:
    """Plan `everything`.

    Raises ApertureDbError when a recorded migration is not in the directory, when an object that
    is not Aperture's depends on its tables, or when the role may not drop and create them.
    """
    database = catalog.read_database(conn)
    rebuildable = require_rebuildable(conn, directory, database.role)
    selection = rebuildable.selection
    assessment = assess_rebuild(conn, selection, read_sizes(conn, selection))
    kept = tuple(_kept_by_rebuild(rebuildable))
    target = PurgeTarget.EVERYTHING
    return _complete(conn, target, options, database, selection, assessment, kept)


def _complete(
    conn: Connection,
    target: PurgeTarget,
    options: PurgeOptions,
    database: Database,
    selection: PurgeSelection,
    assessment: Assessment,
    kept: tuple[str, ...],
) -> PurgePlan:
    """Add the consequences to what was counted."""
    tables = catalog.readable_tables(selection.tables.values())
    context = PurgeContext(conn, target, options, tables, selection, assessment.counts)
    model = read_active_model(conn, read_embedding_tables(conn), tables)
    user_data = UserDataKeeper(target, options)
    kept_rows = user_data.count(conn)
    losses = tuple(find_unrecoverable(context, kept_rows.rows if kept_rows else {}))
    if options.include_kept and (waiting := count_waiting(conn, tables)):
        losses += (Unrecoverable(KEPT_ROWS, waiting, "--include-kept deletes them"),)
    missing = user_data.missing_privilege(conn)
    if dropped := 0 if missing else user_data.count_dropped(conn):
        losses += (Unrecoverable(KEPT_ROWS, dropped, "a purge by name drops those that wait, too"),)
    is_rebuild = target is PurgeTarget.EVERYTHING
    return PurgePlan(
        what=target,
        options=options,
        deletions=assessment.deletions,
        updates=assessment.updates,
        kept=kept,
        losses=losses,
        warnings=(*find_warnings(context), *_kept_before(conn, target, options, tables)),
        missing_privileges=(*assessment.missing, *((missing,) if missing else ())),
        first=(*_first_steps(losses), *((ADDITIONS,) if is_rebuild else ())),
        then=(START_APERTURE, *((SETUP,) if is_rebuild else ())),
        jobs=tuple(jobs_after(context, model)),
        rows=assessment.rows,
        updated_rows=assessment.updated_rows,
        dropped_kept_rows=dropped,
        planned_at=database.read_at,
        user_data=kept_rows,
        preparation=Preparation(database.role, locks_for(selection), assessment.sizes),
    )


def _kept_before(
    conn: Connection,
    target: PurgeTarget,
    options: PurgeOptions,
    tables: Mapping[str, catalog.Table],
) -> Iterator[PurgeWarning]:
    """Say without --keep that rows of an earlier one still come back."""
    may_see = missing_grant(conn, KEPT_TABLES) is None
    if options.keep or target is PurgeTarget.EVERYTHING or not may_see:
        return
    if rows := count_waiting(conn, tables):
        yield PurgeWarning(
            "kept_before",
            f"{plural(rows, 'row')} kept earlier can still be put back by relink --apply; to drop "
            "them: aperture-db relink --forget",
        )


def _first_steps(losses: Sequence[Unrecoverable]) -> Iterator[str]:
    yield STOP_APERTURE
    if any(loss.what == MANUAL_RATINGS for loss in losses):
        yield EXPORT_RATINGS


def _kept_by_rebuild(rebuildable: Rebuildable) -> Iterator[str]:
    migrations = plural(len(rebuildable.files), "recorded migration")
    yield f"the schema, created again from the {migrations}, with their default rows"
    yield "extensions, owners of the tables and privileges on them"
    if others := rebuildable.objects.others:
        yield f"tables that are not Aperture's: {', '.join(map(shown_name, others))}"
