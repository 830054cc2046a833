"""Finds out what could be put back now, for whom, and what has to wait. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import SYNC_WATCHING, Media
from aperture_db.format import plural
from aperture_db.postgres.catalog import read_database
from aperture_db.postgres.session import Connection
from aperture_db.relink.kept import (
    PROFILES,
    WATCH_HISTORY,
    WATCHING,
    Kept,
    KeptRow,
    Library,
    PresentUser,
    map_users,
    read_kept,
    read_library,
    read_present_titles,
    read_present_users,
    require_kept_tables,
)
from aperture_db.relink.matching import match_titles
from aperture_db.relink.references import ReplacedIds, find_changes, find_references
from aperture_db.relink.report import (
    Evidence,
    Match,
    Pending,
    PendingTitle,
    Reason,
    ReferenceCounts,
    RelinkOptions,
    RelinkPlan,
    Result,
    RowCounts,
    RowOrigin,
    RowState,
    TitleChoice,
    TitleCounts,
    TitleIdentity,
)

NOBODY = "unknown user"
MOST_CANDIDATES = 5
# One title of so many keeps its item id at least, as long as the media server is the same.
FEWEST_SAME_ITEMS = 10
WAITING = (RowState.TITLE_PENDING, RowState.USER_MISSING, RowState.RETURNS)


@dataclass(frozen=True)
class Assignment:
    """A kept row, with what would become of it now."""

    row: KeptRow
    state: RowState
    title: TitleIdentity | None = None
    """The new one."""
    user: PresentUser | None = None
    may_insert: bool = True
    """False: only a row that is there already is renewed."""


@dataclass(frozen=True)
class Links:
    """Everything that a relink needs to know of one moment."""

    library: Library
    kept: Kept
    results: Mapping[TitleIdentity, Result]
    users: Mapping[UUID, str]
    """Names, for the report."""
    assignments: tuple[Assignment, ...]
    ids: ReplacedIds


def make_plan(conn: Connection, options: RelinkOptions) -> tuple[RelinkPlan, Links]:
    """Match what is kept with what is present, within the open transaction.

    Needs SELECT on the tables concerned. Raises ApertureDbError where nothing was ever kept.
    """
    links = find_links(conn, options)
    references = list(_count_references(conn, links, options))
    needed: Counter[UUID] = Counter()
    for assignment in links.assignments:
        if assignment.state is RowState.TITLE_PENDING and assignment.row.title_id is not None:
            needed[links.kept.titles[assignment.row.title_id].id] += 1
    for _, waited_for in references:
        needed.update(waited_for)
    pending = [result for result in links.results.values() if isinstance(result, Pending)]
    shown = [
        _pending_title(result, needed[result.old.id]) for result in pending if needed[result.old.id]
    ]
    rows = tuple(_count_rows(links))
    named = tuple(sorted((each for each, _ in references), key=lambda r: (r.user or "", r.table)))
    plan = RelinkPlan(
        database=read_database(conn).name,
        titles=tuple(_count_titles(links)),
        rows=rows,
        references=named,
        pending=tuple(sorted(shown, key=lambda each: (-each.waiting_rows, each.title))),
        unneeded_pending=len(pending) - len(shown),
        remarks=tuple(_remarks(links)),
        ready_rows=_in_states(rows, RowState.READY) + sum(each.rows for each in named),
        waiting_rows=_in_states(rows, *WAITING) + sum(each.waiting for each in named),
        options=options,
    )
    return plan, links


def find_links(conn: Connection, options: RelinkOptions) -> Links:
    """Match titles and users, and say of every kept row what would become of it."""
    require_kept_tables(conn)
    library = read_library(conn)
    kept = read_kept(conn)
    kinds = {title.kind for title in kept.titles.values()}
    present = read_present_titles(conn, library, [kind for kind in Media if kind in kinds])
    results = match_titles(kept.titles.values(), present, kept.decisions)
    present_users = read_present_users(conn, library)
    found_users = map_users(kept, present_users)
    rules = _Rules(conn, library, kept, results, found_users, options)
    names = {user_id: user.username for user_id, user in kept.users.items()}
    names |= {user.user_id: user.username for user in present_users}
    assignments = tuple(rules.assign(row) for row in kept.rows)
    there = {title.id for title in present}
    return Links(library, kept, results, names, assignments, _replaced_ids(results, there))


def _replaced_ids(results: Mapping[TitleIdentity, Result], there: set[UUID]) -> ReplacedIds:
    """Old ids that are no title's any more; of one that was kept twice, the newest match."""
    new_ids: dict[UUID, TitleIdentity] = {}
    pending: set[UUID] = set()
    oldest_first = sorted(results, key=lambda old: old.kept_at.timestamp() if old.kept_at else 0)
    for old in oldest_first:
        result = results[old]
        if old.id in there or old.kind is Media.EPISODE:
            continue
        if isinstance(result, Match):
            new_ids[old.id] = result.new
        else:
            pending.add(old.id)
    return ReplacedIds(new_ids, pending - new_ids.keys())


class _Rules:
    """The conditions under which kept rows are put back."""

    def __init__(
        self,
        conn: Connection,
        library: Library,
        kept: Kept,
        results: Mapping[TitleIdentity, Result],
        users: Mapping[tuple[UUID, bool], PresentUser],
        options: RelinkOptions,
    ) -> None:
        self._library = library
        self._kept = kept
        self._results = results
        self._users = users
        self._options = options
        self._watching: set[tuple[UUID, UUID]] = set()
        self._unsynced: set[UUID] = set()
        self._is_watching_disabled = False
        self._is_rebuilt = _is_rebuilt(results.values())
        self._present = set(_find_present(conn, library))
        """Keys of kept rows that are there although a purge kept them: it was undone."""
        if any(row.source == WATCHING for row in kept.rows) and WATCHING in library.tables:
            self._read_watching(conn)

    def assign(self, row: KeptRow) -> Assignment:
        user = self._users.get((row.user_id, row.origin == RowOrigin.IMPORT))
        if row.source == PROFILES:
            state = RowState.READY if self._options.locked_profiles else RowState.NOT_REQUESTED
            return Assignment(row, state if user else RowState.USER_MISSING, None, user)
        old = self._kept.titles.get(row.title_id) if row.title_id is not None else None
        result = self._results[old] if old is not None else None
        if not isinstance(result, Match) or row.source not in self._library.tables:
            return Assignment(row, RowState.TITLE_PENDING, None, user)
        assert old is not None
        is_same_title = result.new.id == old.id
        if is_same_title and (row.origin == RowOrigin.KEEP or row.id in self._present):
            return Assignment(row, RowState.IN_PLACE, result.new, user)
        if user is None:
            return Assignment(row, RowState.USER_MISSING, result.new)
        if row.source == WATCH_HISTORY:
            is_wanted = self._options.watch_history and user.is_unread
            state = RowState.READY if is_wanted else RowState.NOT_REQUESTED
            return Assignment(row, state, result.new, user)
        if row.source == WATCHING:
            return self._assign_watching(row, old, result.new, user)
        return Assignment(row, RowState.READY, result.new, user)

    def _assign_watching(
        self, row: KeptRow, old: TitleIdentity, new: TitleIdentity, user: PresentUser
    ) -> Assignment:
        """Aperture makes a favorite of what is only in its table, so rows come back from the
        media server where they can, and only their time is put back."""
        if not user.is_enabled or self._is_watching_disabled or self._is_other_server(old):
            return Assignment(row, RowState.READY, new, user)
        if (user.user_id, new.id) in self._watching:
            return Assignment(row, RowState.READY, new, user, may_insert=False)
        state = RowState.RETURNS if new.id in self._unsynced else RowState.ENDED
        return Assignment(row, state, new, user, may_insert=False)

    def _is_other_server(self, old: TitleIdentity) -> bool:
        server = self._library.server
        is_elsewhere = old.server is not None and server is not None and old.server != server
        return is_elsewhere or self._is_rebuilt

    def _read_watching(self, conn: Connection) -> None:
        tables = self._library.tables
        query = sql.SQL(queries.load("relink/present_watching"))
        self._watching = set(conn.execute(query.format(watching=tables[WATCHING].identifier)))
        wanted = {row.title_id for row in self._kept.rows if row.source == WATCHING}
        new = {
            result.new.id
            for kept_id, old in self._kept.titles.items()
            if kept_id in wanted and isinstance(result := self._results[old], Match)
        }
        unsynced = sql.SQL(queries.load("relink/series_without_favorites_sync")).format(
            series=tables["series"].identifier, job_runs=tables["job_runs"].identifier
        )
        parameters = {"series": list(new), "job": SYNC_WATCHING}
        self._unsynced = {row[0] for row in conn.execute(unsynced, parameters)}
        if self._library.has("system_settings", "key", "value"):
            setting = sql.SQL(queries.load("relink/setting")).format(
                settings=tables["system_settings"].identifier
            )
            row = conn.execute(setting, {"key": "watching_library_enabled"}).fetchone()
            self._is_watching_disabled = row == ("false",)


def _is_rebuilt(results: Iterable[Result]) -> bool:
    """Tell if the media server was built anew under its address, and knows none of the favorites:
    hardly a title has its item id any more. Those of titles in two libraries alternate."""
    pairs = [
        (result.old.item_id, result.new.item_id)
        for result in results
        if isinstance(result, Match) and result.old.item_id and result.new.item_id
    ]
    same = sum(old == new for old, new in pairs)
    return bool(pairs) and same * FEWEST_SAME_ITEMS < len(pairs)


def _find_present(conn: Connection, library: Library) -> Iterator[int]:
    for source in library.sources:
        query = sql.SQL(queries.load("relink/present_rows")).format(
            table=source.table.identifier,
            title=source.title,
            source=sql.Literal(source.name),
        )
        for (kept_id,) in conn.execute(query):
            yield kept_id


def _count_titles(links: Links) -> Iterator[TitleCounts]:
    for kind in Media:
        results = [result for old, result in links.results.items() if old.kind is kind]
        if results:
            matched = Counter(each.evidence for each in results if isinstance(each, Match))
            pending = Counter(each.reason for each in results if isinstance(each, Pending))
            yield TitleCounts(
                kind,
                len(results),
                {evidence: matched[evidence] for evidence in Evidence if matched[evidence]},
                {reason: pending[reason] for reason in Reason if pending[reason]},
            )


def _count_rows(links: Links) -> Iterator[RowCounts]:
    counts: dict[tuple[str, str], Counter[RowState]] = {}
    for each in links.assignments:
        name = links.users.get(each.user.user_id if each.user else each.row.user_id, NOBODY)
        counts.setdefault((name, each.row.source), Counter())[each.state] += 1
    for (name, table), states in sorted(counts.items()):
        shown = {state: states[state] for state in RowState if states[state]}
        if set(shown) != {RowState.IN_PLACE}:
            yield RowCounts(name, table, shown)


def _count_references(
    conn: Connection, links: Links, options: RelinkOptions
) -> Iterator[tuple[ReferenceCounts, Counter[UUID]]]:
    """By owner and table, each with the kept titles that it waits for."""
    ready: dict[tuple[UUID | None, str], set[UUID]] = {}
    waiting: dict[tuple[UUID | None, str], set[UUID]] = {}
    named: dict[tuple[UUID | None, str], Counter[UUID]] = {}
    for reference in find_references(conn, links.library, with_computed=options.similarity):
        for page in find_changes(conn, reference, links.ids):
            for change in page:
                key = (change.owner, reference.table.name)
                if change.new_value != change.old_value:
                    ready.setdefault(key, set()).add(change.row_id)
                if change.pending:
                    waiting.setdefault(key, set()).add(change.row_id)
                    named.setdefault(key, Counter()).update(change.pending)
    for key in ready.keys() | waiting.keys():
        owner, table = key
        user = links.users.get(owner, NOBODY) if owner else None
        counts = ReferenceCounts(user, table, len(ready.get(key, ())), len(waiting.get(key, ())))
        yield counts, named.get(key, Counter())


def _in_states(rows: Iterable[RowCounts], *states: RowState) -> int:
    return sum(each.states.get(state, 0) for each in rows for state in states)


def _pending_title(result: Pending, waiting_rows: int) -> PendingTitle:
    choices = (TitleChoice(new.id, str(new)) for new in result.candidates[:MOST_CANDIDATES])
    old = result.old
    return PendingTitle(
        old.id, old.kind, str(old), result.reason, result.text, waiting_rows, tuple(choices)
    )


def _remarks(links: Links) -> Iterator[str]:
    for result in links.results.values():
        if isinstance(result, Match) and result.remark:
            yield f"{result.old} is matched by {result.evidence} although {result.remark}"
    added = sum(
        each.row.source == WATCHING and each.state is RowState.READY and each.may_insert
        for each in links.assignments
    )
    if added:
        yield (
            f"{plural(added, 'series', 'series')} will be added to lists of series being watched: "
            "Aperture makes them favorites on the media server"
        )
