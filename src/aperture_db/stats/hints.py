"""Hints: conclusions from the counts, each with its likely cause and the next step.

The rules follow the way Aperture's jobs work; without enough evidence there is no hint.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from aperture_db import aperture
from aperture_db.aperture import kinds
from aperture_db.aperture.schema import OWN_SCHEMA, count_waiting, locate
from aperture_db.aperture.structure import find_missing_tables, read_steps, structure_after
from aperture_db.format import list_some, plural
from aperture_db.postgres.activity import ExclusiveLock
from aperture_db.postgres.catalog import Table, explain_unreadable
from aperture_db.postgres.session import Connection
from aperture_db.stats.counting import Inventory
from aperture_db.stats.coverage import EMBEDDING_JOBS, EMBEDDING_SUBJECTS, JobResult
from aperture_db.stats.report import (
    Count,
    Coverage,
    DatabaseFacts,
    Embeddings,
    EmbeddingState,
    Hint,
    Overview,
    Subject,
    Unknown,
)

# A sync merges or skips less than this share of a library on purpose.
NORMAL_SHORTFALL = 0.01


@dataclass(frozen=True)
class Sync:
    """The job that copies a part of the library from the media server."""

    job: str
    why_fewer: str
    """The usual cause of a shortfall of any size."""
    why_slightly_fewer: str | None = None
    """The cause of a small shortfall that is normal."""


UNSTORED = "items that could not be stored are only logged; the run still counts as completed"
SYNCS = {
    Subject.MOVIES: Sync(
        kinds.SYNC_MOVIES, UNSTORED, "movies with the same title and year are stored as one"
    ),
    Subject.SERIES: Sync(kinds.SYNC_SERIES, UNSTORED),
    Subject.EPISODES: Sync(
        kinds.SYNC_SERIES, UNSTORED, "episodes without a season or episode number are skipped"
    ),
    Subject.USERS: Sync(
        kinds.SYNC_USERS, "users added since the last sync are not in the database yet"
    ),
}
MEDIA_OF_SUBJECT = {subject: media for media, subject in EMBEDDING_SUBJECTS.items()}


def hints_about_library(
    overview: Overview,
    embeddings: Embeddings,
    coverage: tuple[Coverage, ...],
    results: Mapping[str, JobResult],
) -> Iterator[Hint]:
    """From what is most basic to what builds on it: syncs first, then embeddings."""
    yield from _hints_about_syncs(overview, coverage, results)
    for item in coverage:
        if item.subject in SYNCS and item.missing:
            yield _missing(item, SYNCS[item.subject], results)
    if embeddings.is_model_missing and (overview.movies.rows or overview.series.rows):
        yield Hint(
            "embedding_model_missing",
            True,
            "no embedding model is configured",
            "without one Aperture computes no embeddings, and so no recommendations",
            "choose an embedding model in Aperture's AI settings",
        )
    for item in coverage:
        if item.subject in MEDIA_OF_SUBJECT and item.missing:
            yield _pending(item, embeddings, results)
    yield from _hints_about_unused(embeddings)


def _hints_about_syncs(
    overview: Overview, coverage: tuple[Coverage, ...], results: Mapping[str, JobResult]
) -> Iterator[Hint]:
    never = [
        name
        for name in (kinds.SYNC_USERS, kinds.SYNC_MOVIES, kinds.SYNC_SERIES)
        if name in results and results[name].completed_at is None
    ]
    if never:
        is_empty = not any(
            count.rows for count in (overview.movies, overview.series, overview.users)
        )
        yield Hint(
            "never_synced",
            is_empty,
            "nothing has been synced from the media server yet"
            if is_empty
            else "it is unknown if the library is complete",
            f"no completed run of {_listed(never)} is recorded",
            f"in Aperture, run {_listed(never)}",
        )
    titles = [item for item in coverage if item.subject in (Subject.MOVIES, Subject.SERIES)]
    if titles and all(item.expected == 0 for item in titles):
        yield Hint(
            "nothing_found",
            True,
            "the last syncs found no titles on the media server",
            "no library is enabled, or the enabled ones are empty",
            f"enable libraries in Aperture's settings, then run {kinds.SYNC_MOVIES} "
            f"and {kinds.SYNC_SERIES}",
        )


def _missing(item: Coverage, sync: Sync, results: Mapping[str, JobResult]) -> Hint:
    assert item.expected is not None
    is_small = item.missing <= item.expected * NORMAL_SHORTFALL
    is_normal = sync.why_slightly_fewer is not None and is_small
    cause = sync.why_slightly_fewer if is_normal else sync.why_fewer
    if results[sync.job].last_status == "failed":
        cause = f"the newest run of {sync.job} failed"
        is_normal = False
    return Hint(
        f"{item.subject}_missing",
        not is_normal,
        f"{item.missing:,} of {item.expected:,} {item.subject} are missing",
        f"{cause}",
        f"nothing, unless you miss some; {sync.job} logs what it skips"
        if is_normal
        else f"in Aperture, run {sync.job} and read its log",
    )


def _pending(item: Coverage, embeddings: Embeddings, results: Mapping[str, JobResult]) -> Hint:
    media = MEDIA_OF_SUBJECT[item.subject]
    noun, job = aperture.MEDIA_TABLES[media], EMBEDDING_JOBS[media]
    next_step = f"in Aperture, run {job}{_price(embeddings)}"
    if item.present == 0 and _is_without_dimension(embeddings):
        cause = (
            f"Aperture 0.7.8 does not know the dimensions of {embeddings.active_model}: {job} fails"
        )
        next_step = "choose another embedding model in Aperture's AI settings"
    elif job in results and results[job].last_status == "failed":
        cause = f"the newest run of {job} failed"
    elif item.present == 0 and embeddings.rows_in(EmbeddingState.STALE):
        cause = "the model was changed, and embeddings of another model can't be used"
    else:
        cause = f"{job} has not reached them yet"
    return Hint(
        f"{item.subject.replace(' ', '_')}_pending",
        True,
        f"{item.missing:,} of {item.expected:,} {noun} have no embedding of the active model",
        cause,
        next_step,
    )


def _is_without_dimension(embeddings: Embeddings) -> bool:
    """Tell if the model is none that Aperture knows, of a provider whose custom models it never
    looks up."""
    provider = embeddings.active_provider
    is_looked_up = provider in ("", *aperture.CUSTOM_MODEL_PROVIDERS)
    return embeddings.active_dimension is None and not is_looked_up


def _price(embeddings: Embeddings) -> str:
    is_local = embeddings.active_provider in aperture.FREE_PROVIDERS
    return "" if is_local else "; the provider may charge for it"


def _hints_about_unused(embeddings: Embeddings) -> Iterator[Hint]:
    mark = "" if all(item.count.exact for item in embeddings.sets) else "~"
    if stale := embeddings.rows_in(EmbeddingState.STALE):
        yield Hint(
            "stale_embeddings",
            True,
            f"{mark}{stale:,} embeddings are stale",
            f"nothing reads them: they are not of the active model {embeddings.active_model}",
            "aperture-db clean --apply stale-embeddings",
        )
    if legacy := embeddings.rows_in(EmbeddingState.LEGACY):
        yield Hint(
            "legacy_embeddings",
            True,
            f"{mark}{legacy:,} embeddings are in *_legacy tables",
            "migration 0078 copied them to the tables in use; nothing reads them",
            "aperture-db clean --apply legacy-embeddings",
        )


def hints_about_location(conn: Connection, tables: Iterable[Table]) -> Iterator[Hint]:
    """Aperture's tables in a schema that the search_path does not find, or in two schemas."""
    names_by_schema: dict[str, set[str]] = {}
    for table in tables:
        names_by_schema.setdefault(table.schema, set()).add(table.name)
    holders = {schema for schema, names in names_by_schema.items() if aperture.is_aperture(names)}
    # Nothing to ask where they are in the one schema that the connection names.
    if holders - {conn.schema} and (trouble := locate(conn).find_trouble()):
        yield Hint("not_aperture", True, trouble.what, trouble.why, trouble.next_step)


def hint_about_database(facts: DatabaseFacts, tables: Collection[Table]) -> Hint:
    """The hint for a database that is not Aperture's."""
    if tables:
        in_the_way = any(table.is_visible and aperture.group_of(table.name) for table in tables)
        return Hint(
            "not_aperture",
            True,
            "this is not Aperture's database",
            f"it has {plural(len(tables), 'table')} of another application",
            "check the database's name; "
            + (
                "Aperture needs a database of its own, because table names would clash"
                if in_the_way
                else "to install Aperture beside them: aperture-db migrate"
            ),
        )
    return Hint(
        "not_aperture",
        True,
        "this is not Aperture's database yet",
        f"{facts.name} is empty",
        "aperture-db migrate",
    )


def hints_about_missing_tables(facts: DatabaseFacts, inventory: Inventory) -> Iterator[Hint]:
    """Tables that the recorded migrations make and the database does not have."""
    newest = facts.newest_migration
    if newest is None or not aperture.TABLES.keys() - inventory.visible.keys():
        return
    recorded = {step["name"] for step in read_steps() if step["name"] <= newest}
    if missing := find_missing_tables(structure_after(recorded), inventory.visible):
        yield Hint(
            "tables_missing",
            True,
            f"{plural(len(missing), 'table')} of Aperture "
            f"{'is' if len(missing) == 1 else 'are'} missing: {list_some(missing)}",
            f"{newest} is recorded, and the migrations up to it make them",
            "aperture-db health --only schema-drift",
        )


def hints_about_kept_data(conn: Connection, inventory: Inventory) -> Iterator[Hint]:
    """User data that a purge kept and that waits to be put back. Reads it where the role may."""
    kept = [each for each in inventory.tables if each.schema == OWN_SCHEMA]
    names = kinds.MEDIA_TABLES.values()
    titles = [inventory.visible[name] for name in names if name in inventory.visible]
    if not all(table.may_select for table in (*kept, *titles)):
        return
    if rows := count_waiting(conn, inventory.visible):
        yield Hint(
            "kept_data",
            True,
            f"{plural(rows, 'row')} of users {'wait' if rows > 1 else 'waits'} to be put back",
            "a purge kept them, because titles get new ids with the next sync",
            "aperture-db relink",
        )


def hints_about_unreadable_tables(
    inventory: Inventory,
    tables: Iterable[Table],
    counts: Iterable[Count],
    facts: DatabaseFacts,
) -> Iterator[Hint]:
    """Hidden rows, missing privileges, locks and their holders, and tables without an estimate."""
    concerned = list(tables)
    for hides_rows in (True, False):
        denied = [t for t in concerned if t.hides_rows is hides_rows and not t.may_select]
        if refusal := explain_unreadable(denied, facts.role):
            yield Hint(
                "row_security" if hides_rows else "no_privilege",
                True,
                f"{_number_of_tables(len(denied))} can't be read",
                refusal.reason,
                refusal.next_step,
            )
    for table in concerned:
        if table.oid in inventory.locks and table.may_count:
            yield _hint_about_locks(table, inventory.locks[table.oid])
    unestimated = sum(count.unknown is Unknown.NOT_ANALYZED for count in counts)
    if unestimated:
        yield Hint(
            "not_analyzed",
            True,
            f"there is no estimate for {_number_of_tables(unestimated)}",
            "they have not been analyzed yet",
            "ANALYZE;",
        )


def _hint_about_locks(table: Table, locks: list[ExclusiveLock]) -> Hint:
    lock = locks[0]
    verb = "holds" if lock.is_held else "waits for"
    holder = lock.session or "a prepared transaction"
    next_step = "wait until it ends, then run again"
    if lock.session:
        next_step += f"; or end it: SELECT pg_terminate_backend({lock.session.pid});"
    else:
        next_step += "; or end it: SELECT gid FROM pg_prepared_xacts; ROLLBACK PREPARED '…';"
    return Hint(
        "locked",
        True,
        f"{table.name} can't be read",
        f"it is locked: {holder} {verb} ACCESS EXCLUSIVE",
        next_step,
    )


def _number_of_tables(number: int) -> str:
    return "1 table" if number == 1 else f"{number} tables"


def _listed(names: list[str]) -> str:
    """a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
