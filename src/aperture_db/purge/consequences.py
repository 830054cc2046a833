"""Consequences of a purge for this database: data that cannot be recovered, warnings, jobs to run.

Each part reads the registry of Aperture's tables and jobs, and names only what applies here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from psycopg import sql

from aperture_db.aperture import (
    DEFAULT_BACKUP_PATH,
    FREE_PROVIDERS,
    JOBS,
    RUN_TABLES,
    TABLES,
    ActiveModel,
    ApertureJob,
    LostData,
    Media,
)
from aperture_db.aperture.kinds import (
    RATINGS,
    SYNC_MOVIES,
    SYNC_SERIES,
    SYNC_USERS,
    SYNC_WATCHING,
    WATCH_HISTORY,
)
from aperture_db.format import list_some, plural
from aperture_db.postgres.activity import find_other_sessions
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.session import Connection
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.report import JobToRun, PurgeWarning, Unrecoverable
from aperture_db.purge.selection import EffectCounts, PurgeSelection, TableEffect

MOST_SESSIONS = 3
MOST_LIBRARIES = 6
RELINK = "aperture-db relink --apply"
MEDIA_OF = {PurgeTarget.MOVIES: (Media.MOVIE,), PurgeTarget.SERIES: (Media.SERIES,)}
CONTENT_TARGETS = (PurgeTarget.MOVIES, PurgeTarget.SERIES, PurgeTarget.CONTENT)
DATA_OF = {PurgeTarget.WATCH_HISTORY: WATCH_HISTORY, PurgeTarget.RATINGS: RATINGS}
WORDS = {Media.MOVIE: "films", Media.SERIES: "series"}


@dataclass(frozen=True)
class PurgeContext:
    """The database as the plan finds it; absent and unreadable tables are left out."""

    conn: Connection
    target: PurgeTarget
    options: PurgeOptions
    tables: Mapping[str, Table]
    selection: PurgeSelection
    counts: Mapping[int, EffectCounts]

    @property
    def media(self) -> tuple[Media, ...]:
        """Films, series or both."""
        return MEDIA_OF.get(self.target, (Media.MOVIE, Media.SERIES))

    def has(self, table: str, *columns: str) -> bool:
        found = self.tables.get(table)
        return found is not None and set(columns) <= set(found.columns)

    def effect(self, table: str) -> TableEffect | None:
        found = self.tables.get(table)
        return next((e for e in self.selection.effects if e.table == found), None)

    def deleted_rows(self, table: str) -> int:
        found = self.tables.get(table)
        counted = self.counts.get(found.oid) if found else None
        return counted.deleted if counted else 0

    def ask(self, query: str, **parts: str | sql.Composable) -> list[tuple[object, ...]]:
        """The rows of a query; text among the parts becomes a literal."""
        return self.conn.execute(sql.SQL(query).format(**parts)).fetchall()

    def count(self, table: str, condition: sql.Composable) -> int:
        """Count rows of a table that is there."""
        identifier = self.tables[table].identifier
        query = "SELECT count(*) FROM {table} WHERE {condition}"
        return int(str(self.ask(query, table=identifier, condition=condition)[0][0]))


def find_unrecoverable(context: PurgeContext, kept: Mapping[str, int]) -> Iterator[Unrecoverable]:
    """Data of this database that neither a job nor relink brings back, table by table. `kept` are
    the rows of users that the purge keeps, by their tables."""
    for name, table in TABLES.items():
        for loss in table.losses:
            if (kept and loss.with_rows_of) or name not in context.tables:
                continue
            rows = _lost_rows(context, name, loss) - kept.get(name, 0)
            if rows > 0:
                yield Unrecoverable(loss.noun, rows, loss.why)


def _lost_rows(context: PurgeContext, table: str, loss: LostData) -> int:
    """Rows of which the purge loses the data; each condition is counted in the database."""
    effect = context.effect(table)
    needed = [name.split(".") for name in loss.needs]
    if any(not context.has(other, column) for other, column in needed):
        return 0
    others = {other: context.tables[other].identifier for other, _column in needed}
    held = sql.SQL(loss.where or "true").format(**others)
    if loss.with_rows_of:
        is_kept = effect is None or effect.deleted is None
        is_lost = is_kept and any(context.deleted_rows(other) for other in loss.with_rows_of)
        return context.count(table, held) if is_lost else 0
    if effect is None:
        return 0
    lost = [effect.deleted] if effect.deleted is not None else []
    if loss.columns:
        reset = set(loss.columns)
        lost = [change.condition for change in effect.changes if reset & set(change.columns)]
    if not lost:
        return 0
    either = sql.SQL(" OR ").join(sql.SQL("({})").format(condition) for condition in lost)
    return context.count(table, sql.SQL("({}) AND ({})").format(held, either))


def find_warnings(context: PurgeContext) -> Iterator[PurgeWarning]:
    """The warnings that apply to this database now, the most dangerous first."""
    yield from _auto_requests(context)
    yield from _running_jobs(context)
    yield from _sessions(context)
    if context.target is PurgeTarget.EVERYTHING:
        yield from _virtual_libraries(context)
        yield from _backup_path(context)
    else:
        yield from _locked_profiles(context)
        yield from _top_picks(context)


def _auto_requests(context: PurgeContext) -> Iterator[PurgeWarning]:
    columns = {
        Media.MOVIE: "movies_auto_request_enabled",
        Media.SERIES: "series_auto_request_enabled",
    }
    if context.target not in CONTENT_TARGETS:
        return
    if not context.has("top_picks_config", *columns.values()):
        return
    words = [
        WORDS[media]
        for media in context.media
        if context.count("top_picks_config", sql.Identifier(columns[media]))
    ]
    if words:
        yield PurgeWarning(
            "auto_requests",
            f"Top Picks automatically requests {' and '.join(words)} from Seerr: until the next "
            "sync is done, the job auto-request-top-picks considers all of them missing. "
            "Turn it off, or keep Aperture stopped and sync first.",
        )


def _running_jobs(context: PurgeContext) -> Iterator[PurgeWarning]:
    for name in RUN_TABLES:
        if not context.has(name, "status", "created_at"):
            continue
        rows = context.ask(
            "SELECT count(*), extract(epoch FROM now() - max(created_at)) / 3600 FROM {table} "
            "WHERE status = 'running' HAVING count(*) > 0",
            table=context.tables[name].identifier,
        )
        for running, hours in rows:
            yield PurgeWarning(
                "running_job",
                f"{name}: {running} with status running, the newest started "
                f"{float(str(hours)):.1f} h ago. A job may be running, or it crashed.",
            )


def _sessions(context: PurgeContext) -> Iterator[PurgeWarning]:
    sessions = find_other_sessions(context.conn)
    if sessions:
        shown = list_some(map(str, sessions), MOST_SESSIONS, separator="; ")
        are = "are" if len(sessions) > 1 else "is"
        yield PurgeWarning(
            "sessions",
            f"{plural(len(sessions), 'other session')} {are} connected to this database: {shown}.",
        )


def _locked_profiles(context: PurgeContext) -> Iterator[PurgeWarning]:
    if not context.has("user_taste_profiles", "is_locked"):
        return
    locked = sql.SQL("is_locked AND embedding IS NOT NULL AND media_type IN ({})").format(
        sql.SQL(", ").join(sql.Literal(str(media)) for media in context.media)
    )
    rows = context.count("user_taste_profiles", locked)
    if not rows:
        return
    profiles = plural(rows, "locked taste profile")
    if not context.options.include_locked:
        text = f"{profiles} will be kept and used as before; --include-locked resets them, too."
    elif context.target is PurgeTarget.RATINGS:
        text = f"{profiles} will be marked as outdated, but the lock prevents their update."
    else:
        text = (
            f"{profiles} will be reset: the next recommendations compute them again, and then "
            "delete the franchise preferences that those users set."
        )
    yield PurgeWarning("locked_profiles", text)


def _top_picks(context: PurgeContext) -> Iterator[PurgeWarning]:
    if not context.deleted_rows("watch_history"):
        return
    if not context.has("top_picks_config", "is_enabled"):
        return
    if context.count("top_picks_config", sql.Identifier("is_enabled")):
        yield PurgeWarning(
            "top_picks",
            "Top Picks is enabled: refresh-top-picks empties it when it runs before the watch "
            "history has been synced again.",
        )


def _virtual_libraries(context: PurgeContext) -> Iterator[PurgeWarning]:
    if not context.has("strm_libraries", "name", "path"):
        return
    libraries = context.ask(
        "SELECT name, path FROM {table} ORDER BY name, path",
        table=context.tables["strm_libraries"].identifier,
    )
    if libraries:
        named = list_some((f"{name} ({path})" for name, path in libraries), MOST_LIBRARIES)
        count = plural(len(libraries), "virtual library", "virtual libraries")
        yield PurgeWarning(
            "virtual_libraries",
            f"On the media server, {count} will be kept and become unknown to Aperture: {named}.",
        )


def _backup_path(context: PurgeContext) -> Iterator[PurgeWarning]:
    if context.has("backup_config", "backup_path"):
        rows = context.ask(
            "SELECT backup_path FROM {table} WHERE id = 1 AND backup_path <> {default}",
            table=context.tables["backup_config"].identifier,
            default=DEFAULT_BACKUP_PATH,
        )
        for (path,) in rows:
            text = f"Backups will be written to {DEFAULT_BACKUP_PATH} again instead of {path}."
            yield PurgeWarning("backup_path", text)


def jobs_after(context: PurgeContext, model: ActiveModel | None) -> Iterator[JobToRun]:
    """The jobs that this version has and this purge calls for. `model` makes the embeddings."""
    data = DATA_OF.get(context.target)
    is_kept = context.target in CONTENT_TARGETS and context.options.keep
    last_sync = _last_sync(context) if is_kept else ""
    for job in JOBS:
        if job.name == SYNC_USERS and context.target is not PurgeTarget.EVERYTHING:
            continue
        if data is not None and data not in job.uses:
            continue
        if job.media is not None and job.media not in context.media:
            continue
        if job.needs and not context.has(*job.needs):
            continue
        is_optional = job.is_optional and context.target is not PurgeTarget.RATINGS
        note = job.note or _embedding_note(job, context, model)
        then = RELINK if job.name == last_sync else ""
        yield JobToRun(job.name, is_optional, note, then)


def _last_sync(context: PurgeContext) -> str:
    """The job after which titles and lists of series are back: relink comes then, before jobs
    that use the ratings."""
    if Media.SERIES not in context.media or not context.has("series"):
        return SYNC_MOVIES
    return SYNC_WATCHING if context.has("user_watching_series") else SYNC_SERIES


def _embedding_note(job: ApertureJob, context: PurgeContext, model: ActiveModel | None) -> str:
    """The number of items that an embedding job sends to a service, which may cost money."""
    if "embeddings" not in job.name:
        return ""
    episodes = context.deleted_rows("episodes")
    if job.media is Media.MOVIE:
        items = f"{context.deleted_rows('movies'):,} films"
    else:
        items = f"{context.deleted_rows('series'):,} series"
        items += f", {episodes:,} episodes" if episodes else ""
    if model is None:
        return items
    price = "" if model.provider in FREE_PROVIDERS else ", which costs money"
    return f"{items} through {model.id}{price}"
