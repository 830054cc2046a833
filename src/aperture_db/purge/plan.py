"""Makes the plan of a purge: everything that is going to happen, counted. Reads only."""

from __future__ import annotations

from aperture_db.aperture import read_active_model, read_embedding_tables
from aperture_db.postgres import catalog
from aperture_db.postgres.connection import Connection
from aperture_db.purge.assess import assess, read_sizes
from aperture_db.purge.hazards import find_hazards
from aperture_db.purge.jobs import jobs_after
from aperture_db.purge.locks import locks_for
from aperture_db.purge.losses import MANUAL_RATINGS, find_losses
from aperture_db.purge.report import Loss, Preparation, PurgePlan
from aperture_db.purge.scopes import Options, scope_of
from aperture_db.purge.selection import select
from aperture_db.purge.situation import Situation
from aperture_db.purge.what import What

STOP_APERTURE = (
    "Stop Aperture (docker stop aperture): a job that runs meanwhile works with ids that are gone."
)
SAVE_RATINGS = "Keep the ratings with the titles' ids at IMDb and TMDB: add --export-ratings FILE."
START_APERTURE = "Start Aperture again (docker start aperture)."


def plan(conn: Connection, what: What, options: Options) -> PurgePlan:
    """Plan a purge of anything but everything, within one transaction.

    Needs SELECT on the tables concerned, and looks for the privileges that the purge will need.
    Waits behind ACCESS EXCLUSIVE locks: set lock_timeout first.
    """
    database = catalog.read_database(conn)
    scope = scope_of(what, options)
    selection = select(conn, scope)
    sizes = read_sizes(conn, selection)
    assessment = assess(conn, selection, database.role, sizes)
    tables = catalog.readable_tables(selection.tables.values())
    model = read_active_model(conn, read_embedding_tables(conn), tables)
    situation = Situation(conn, what, options, tables, selection, assessment.counts)
    losses = tuple(find_losses(situation))
    return PurgePlan(
        what=what,
        options=options,
        deletions=assessment.deletions,
        updates=assessment.updates,
        kept=scope.kept,
        losses=losses,
        warnings=tuple(find_hazards(situation)),
        missing_privileges=assessment.missing,
        first=what_first(losses),
        then=(START_APERTURE,),
        jobs=tuple(jobs_after(situation, model)),
        rows=assessment.rows,
        updated_rows=assessment.updated_rows,
        planned_at=database.read_at,
        preparation=Preparation(database.role, locks_for(selection), sizes),
    )


def what_first(losses: tuple[Loss, ...]) -> tuple[str, ...]:
    """What to do before the purge, where these things are lost."""
    has_ratings = any(loss.what == MANUAL_RATINGS for loss in losses)
    return (STOP_APERTURE, *([SAVE_RATINGS] if has_ratings else []))
