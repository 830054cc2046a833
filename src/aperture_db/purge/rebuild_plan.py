"""Makes the plan of `everything`. Reads only."""

from __future__ import annotations

from collections.abc import Iterator

from aperture_db.aperture import read_active_model, read_embedding_tables
from aperture_db.migrations.directory import MigrationDirectory
from aperture_db.postgres import catalog
from aperture_db.postgres.connection import Connection
from aperture_db.purge.assess import assess_rebuild, read_sizes, shown_name, whole_selection
from aperture_db.purge.hazards import find_hazards
from aperture_db.purge.jobs import jobs_after
from aperture_db.purge.locks import locks_for
from aperture_db.purge.losses import find_losses
from aperture_db.purge.plan import START_APERTURE, what_first
from aperture_db.purge.possessions import Possessions
from aperture_db.purge.recorded import Rebuildable, require_rebuildable
from aperture_db.purge.report import Hazard, Loss, Preparation, PurgePlan
from aperture_db.purge.scopes import Options
from aperture_db.purge.situation import Situation
from aperture_db.purge.what import What

ADDITIONS = (
    "Note what you have added to Aperture's tables yourself: indexes, triggers, policies, columns "
    "and their places in publications go."
)
SETUP = "Finish the setup wizard at once: until then anybody can, without logging in."
# What users and administrators made, by the table that holds it.
POSSESSED = (
    ("users", "users", "sync-users brings them back, without their settings and rights"),
    ("assistant_conversations", "chats", "made in Aperture and kept nowhere else"),
    ("channels", "channels", "made in Aperture and kept nowhere else"),
    ("user_custom_interests", "custom interests", "made in Aperture and kept nowhere else"),
    ("user_settings", "user settings", "made in Aperture and kept nowhere else"),
    ("system_settings", "settings", "all keys of media server, AI and other services among them"),
    ("custom_ai_models", "AI models", "entered by hand"),
    ("api_keys", "API keys", "what uses them has to get new ones"),
    ("sessions", "logins", "everybody is logged out"),
    ("discovery_requests", "requests", "Seerr keeps its own, and may be asked again"),
    ("playlists", "playlists", "they stay on the media server, unknown to Aperture"),
    ("graph_playlists", "graph playlists", "they stay on the media server, unknown to Aperture"),
    ("media_images", "uploaded pictures", "the files stay on disk, unknown to Aperture"),
    ("job_runs", "job runs", "the history of all jobs"),
)
NAMED_LIBRARIES = 6


def plan_rebuild(conn: Connection, directory: MigrationDirectory, options: Options) -> PurgePlan:
    """Plan `everything`, within one transaction.

    Raises ApertureDbError when a recorded migration is not at hand, when something that is not
    Aperture's depends on its tables, or when the role may not drop and create them.
    """
    database = catalog.read_database(conn)
    rebuildable = require_rebuildable(conn, directory, database.role)
    selection = whole_selection(rebuildable.possessions)
    sizes = read_sizes(conn, selection)
    assessment = assess_rebuild(conn, rebuildable.possessions, sizes)
    tables = catalog.readable_tables(selection.tables.values())
    what = What.EVERYTHING
    situation = Situation(conn, what, options, tables, selection, assessment.counts)
    model = read_active_model(conn, read_embedding_tables(conn), tables)
    losses = (*find_losses(situation), *_possessed(situation))
    return PurgePlan(
        what=what,
        options=options,
        deletions=assessment.deletions,
        updates=(),
        kept=tuple(_kept(rebuildable)),
        losses=losses,
        warnings=(*find_hazards(situation), *_consequences(situation)),
        missing_privileges=(),
        first=(*what_first(losses), ADDITIONS),
        then=(START_APERTURE, SETUP),
        jobs=tuple(jobs_after(situation, model)),
        rows=assessment.rows,
        updated_rows=0,
        planned_at=database.read_at,
        preparation=Preparation(database.role, locks_for(selection), sizes),
    )


def _kept(rebuildable: Rebuildable) -> Iterator[str]:
    count = len(rebuildable.files)
    yield f"the schema, made again from the {count} recorded migrations, with their default rows"
    yield "extensions, and who owns and may use the tables"
    if others := _others(rebuildable.possessions):
        yield f"tables that are not Aperture's: {', '.join(others)}"


def _others(possessions: Possessions) -> list[str]:
    return [shown_name(table) for table in possessions.others]


def _possessed(situation: Situation) -> Iterator[Loss]:
    for table, what, why in POSSESSED:
        if rows := situation.rows_going(table):
            yield Loss(what, rows, why)


def _consequences(situation: Situation) -> Iterator[Hazard]:
    if situation.has("strm_libraries", "name", "path"):
        libraries = situation.ask(
            "strm_libraries", table=situation.tables["strm_libraries"].identifier
        )
        if libraries:
            named = ", ".join(f"{name} ({path})" for name, path in libraries[:NAMED_LIBRARIES])
            more = len(libraries) - NAMED_LIBRARIES
            yield Hazard(
                "virtual_libraries",
                f"{len(libraries)} virtual libraries stay on the media server and become unknown "
                f"to Aperture: {named}{f' and {more} more' if more > 0 else ''}.",
            )
    if situation.has("backup_config", "backup_path"):
        table = situation.tables["backup_config"].identifier
        for (path,) in situation.ask("custom_backup_path", table=table):
            yield Hazard("backup_path", f"Backups go to /backups again instead of {path}.")
