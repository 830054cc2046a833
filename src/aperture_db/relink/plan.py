"""Finds out what could be put back now, for whom, and what has to wait. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from aperture_db.aperture import Media
from aperture_db.format import plural
from aperture_db.postgres.catalog import read_database
from aperture_db.postgres.connection import Connection
from aperture_db.relink.identity import TitleIdentity
from aperture_db.relink.kept import (
    Kept,
    map_users,
    read_kept,
    read_present_titles,
    read_present_users,
    require_kept_tables,
)
from aperture_db.relink.library import WATCHING, Library, read_library
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
    RowState,
    TitleChoice,
    TitleCounts,
)
from aperture_db.relink.rules import Assignment, Rules

NOBODY = "unknown user"
MOST_CANDIDATES = 5


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
    for _, _, _, named in references:
        needed.update(named)
    pending = [result for result in links.results.values() if isinstance(result, Pending)]
    shown = [
        _pending_title(result, needed[result.old.id]) for result in pending if needed[result.old.id]
    ]
    plan = RelinkPlan(
        database=read_database(conn).name,
        titles=tuple(_count_titles(links)),
        rows=tuple(_count_rows(links)),
        references=tuple(
            ReferenceCounts(
                links.users.get(owner, NOBODY) if owner else None, table, rows[0], rows[1]
            )
            for owner, table, rows, _ in references
        ),
        pending=tuple(sorted(shown, key=lambda each: (-each.waiting_rows, each.title))),
        unneeded_pending=len(pending) - len(shown),
        remarks=tuple(_remarks(links)),
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
    rules = Rules(conn, library, kept, results, found_users, options)
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
) -> Iterator[tuple[UUID | None, str, tuple[int, int], Counter[UUID]]]:
    """By owner and table: rows that can be changed, rows that wait, and what they wait for."""
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
    for key in sorted(ready.keys() | waiting.keys(), key=str):
        counts = (len(ready.get(key, ())), len(waiting.get(key, ())))
        yield (*key, counts, named.get(key, Counter()))


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
