"""Finds kept titles among those that are present. Pure functions, without a database.

A title matches by the strongest evidence that finds anything: IMDb, then TMDb, TVDB, path, title
with year. More than one candidate, or ids that contradict, leave it pending. Nothing is guessed,
and nothing matches because it is similar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from uuid import UUID

from aperture_db.aperture.kinds import Media
from aperture_db.relink.report import (
    OF_EXTERNAL_ID,
    Evidence,
    Keys,
    Match,
    Pending,
    Reason,
    Result,
    TitleIdentity,
    agreeing_ids,
    conflict,
    conflicting_ids,
    described,
    differences,
    fold,
    is_same_row,
    is_same_title,
    keys_of,
    years_differ,
)

FIRST = datetime.min.replace(tzinfo=UTC)
EXTERNAL_ID_OF = {evidence: each for each, evidence in OF_EXTERNAL_ID.items()}
# What may be true of two different titles at once.
WEAK = frozenset({Evidence.PATH, Evidence.TITLE, Evidence.ITEM, Evidence.KEPT_LATER})


def match_titles(
    kept: Iterable[TitleIdentity],
    present: Iterable[TitleIdentity],
    decisions: Mapping[UUID, UUID] | None = None,
) -> dict[TitleIdentity, Result]:
    """The result for every kept title. `decisions` are those of a person: new ids by old ids."""
    decisions = decisions or {}
    everything = list(kept)
    titles = [title for title in everything if title.kind is not Media.EPISODE]
    episodes = [title for title in everything if title.kind is Media.EPISODE]
    here = list(present)
    index = _Index(title for title in here if title.kind is not Media.EPISODE)
    results = _match_batches(titles, index, decisions)
    results |= _match_episodes(episodes, here, results, decisions)
    return results


class _Index:
    """Titles by everything that can find them."""

    def __init__(self, titles: Iterable[TitleIdentity] = ()) -> None:
        self.by_id: dict[UUID, TitleIdentity] = {}
        self._found: dict[tuple[object, ...], list[TitleIdentity]] = {}
        self._keys: dict[TitleIdentity, Keys] = {}
        self.add(titles)

    def add(self, titles: Iterable[TitleIdentity]) -> None:
        for title in titles:
            keys = self._keys[title] = keys_of(title)
            self.by_id[title.id] = title
            self._found.setdefault(("name", title.kind, fold(title.title)), []).append(title)
            for evidence in _order(keys):
                for key in _lookups(evidence, title, keys):
                    self._found.setdefault(key, []).append(title)

    def keys(self, title: TitleIdentity) -> Keys:
        return self._keys[title]

    def find(self, evidence: Evidence, title: TitleIdentity, keys: Keys) -> list[TitleIdentity]:
        """Those that share this evidence with a title, each once."""
        found = [self._found.get(key, []) for key in _lookups(evidence, title, keys)]
        if len(found) == 1:
            return found[0]
        return list(dict.fromkeys(each for titles in found for each in titles))

    def namesakes(self, title: TitleIdentity) -> list[TitleIdentity]:
        """Those of the same kind and title, whatever their year."""
        return self._found.get(("name", title.kind, fold(title.title)), [])


def _lookups(evidence: Evidence, title: TitleIdentity, keys: Keys) -> Sequence[tuple[object, ...]]:
    """The keys of an index for one kind of evidence. The kind of title is part of each."""
    kind = title.kind
    match evidence:
        case Evidence.PATH:
            return [(evidence, kind, keys.path)] if keys.path is not None else []
        case Evidence.TITLE:
            return [(evidence, kind, name, year) for name, year in keys.titles]
        case Evidence.ITEM if title.item_id and title.server:
            return [(evidence, kind, title.server, title.item_id, name) for name in keys.undated]
        case Evidence.ITEM:
            return []
    value = keys.external.get(EXTERNAL_ID_OF[evidence])
    return [(evidence, kind, value)] if value is not None else []


def _match_batches(
    titles: Iterable[TitleIdentity], present: _Index, decisions: Mapping[UUID, UUID]
) -> dict[TitleIdentity, Result]:
    """Match what was kept at one time together, the newest first: older ones may be found by way
    of it."""

    def when(title: TitleIdentity) -> float:
        return title.kept_at.timestamp() if title.kept_at else 0.0

    results: dict[TitleIdentity, Result] = {}
    later = _Index()
    batch: list[TitleIdentity] = []
    for _, group in groupby(sorted(titles, key=when, reverse=True), key=when):
        later.add(batch)
        batch = list(group)
        matcher = _Matcher(present, _Index(batch), later, results, decisions)
        found = {title: matcher.match(title) for title in batch}
        results |= _without_rivals(found, matcher.batch)
    return results


@dataclass(frozen=True)
class _Matcher:
    """Matches titles that were kept at the same time."""

    present: _Index
    batch: _Index
    later: _Index
    """What was kept at later times."""
    later_results: Mapping[TitleIdentity, Result]
    decisions: Mapping[UUID, UUID]

    def match(self, old: TitleIdentity) -> Result:
        keys = self.batch.keys(old)
        if decided := self._decided(old):
            return decided
        same = self.present.by_id.get(old.id)
        is_taken = False
        if same is not None and same.kind is old.kind:
            if is_same_row(keys, self.present.keys(same)):
                remark = differences(keys, self.present.keys(same))
                return Match(old, same, Evidence.SAME_ID, remark)
            is_taken = True
        result = self._search(old, keys, self.present)
        if isinstance(result, Pending) and result.reason is Reason.NOT_FOUND:
            if is_taken:
                text = f"the row with its id is now {same}"
                return Pending(old, Reason.CONTRADICTED, text, result.candidates)
            return self._by_way_of_later(old, keys) or result
        return result

    def _decided(self, old: TitleIdentity) -> Match | None:
        """What a person decided, also where the chosen title was purged in its turn."""
        wanted, seen = self.decisions.get(old.id), {old.id}
        while wanted is not None and wanted not in seen:
            new = self.present.by_id.get(wanted)
            if new is not None and new.kind is old.kind:
                return Match(old, new, Evidence.DECIDED)
            later = self.later.by_id.get(wanted)
            if later is not None and later.kind is old.kind:
                result = self.later_results[later]
                if isinstance(result, Match):
                    return Match(old, result.new, Evidence.DECIDED)
            seen.add(wanted)
            wanted = self.decisions.get(wanted)
        return None

    def _by_way_of_later(self, old: TitleIdentity, keys: Keys) -> Result | None:
        """The match of the title that it had become before that was purged, too."""
        between = self._search(old, keys, self.later)
        if not isinstance(between, Match):
            return None
        result = self.later_results[between.new]
        if isinstance(result, Pending):
            return None
        if reason := conflict(keys, self.present.keys(result.new)):
            return Pending(old, Reason.CONTRADICTED, f"{result.new}: {reason}", (result.new,))
        return Match(old, result.new, Evidence.KEPT_LATER, between.remark)

    def _search(self, old: TitleIdentity, keys: Keys, index: _Index) -> Result:
        """The one title of `index` that the strongest evidence finds, if nothing contradicts."""
        for evidence in _order(keys):
            hits = index.find(evidence, old, keys)
            if not hits:
                continue
            found = _narrow(hits, keys, index, evidence)
            if len(found) > 1:
                text = f"{len(found)} titles have its {evidence}"
                return Pending(old, Reason.AMBIGUOUS, text, tuple(found))
            return self._checked(old, keys, index, found[0], evidence)
        near = tuple(index.namesakes(old))
        text = "no title has one of its ids, its path, or its title and year"
        if near:
            text += "; the same title is there as " + ", ".join(map(described, near[:3]))
        return Pending(old, Reason.NOT_FOUND, text, near)

    def _checked(
        self, old: TitleIdentity, keys: Keys, index: _Index, new: TitleIdentity, evidence: Evidence
    ) -> Result:
        """The match, unless another id, another kept title or an attribute speaks against it."""
        for other in OF_EXTERNAL_ID.values():
            hits = index.find(other, old, keys)
            if hits and new not in hits:
                text = f"its {evidence} is that of {new}, its {other} that of {hits[0]}"
                return Pending(old, Reason.AMBIGUOUS, text, (new, *hits))
        new_keys = index.keys(new)
        reason = conflict(keys, new_keys)
        if not reason and evidence is Evidence.PATH and years_differ(keys, new_keys):
            reason = "its path is the same, its year is not"
        if reason:
            return Pending(old, Reason.CONTRADICTED, f"{new}: {reason}", (new,))
        if evidence in WEAK:
            for rival in self.batch.find(evidence, old, keys):
                if rival is not old and not is_same_title(keys, self.batch.keys(rival)):
                    text = f"another kept title has its {evidence}, too: {described(rival)}"
                    return Pending(old, Reason.AMBIGUOUS, text, (new,))
        return Match(old, new, evidence, differences(keys, new_keys))


def _order(keys: Keys) -> Iterator[Evidence]:
    """The kinds of evidence that a title can be found by, the strongest first."""
    for catalog, evidence in OF_EXTERNAL_ID.items():
        if catalog in keys.external:
            yield evidence
    yield from (Evidence.PATH, Evidence.TITLE, Evidence.ITEM)


def _narrow(
    hits: Sequence[TitleIdentity], keys: Keys, index: _Index, evidence: Evidence
) -> list[TitleIdentity]:
    """Of several titles that share an id or a path, those that agree in more."""
    found = list(hits)
    if evidence in (Evidence.TITLE, Evidence.ITEM):
        return found
    tests = (
        lambda other: not conflicting_ids(keys, other),
        lambda other: agreeing_ids(keys, other) == keys.external.keys(),
        lambda other: keys.path is not None and other.path == keys.path,
        lambda other: bool(keys.titles & other.titles),
    )
    for test in tests:
        if len(found) > 1:
            found = [hit for hit in found if test(index.keys(hit))] or found
    return found


def _without_rivals(
    results: Mapping[TitleIdentity, Result], batch: _Index
) -> dict[TitleIdentity, Result]:
    """Leave a title pending whose match rests on weak evidence and is another's, too."""
    claims: dict[UUID, list[Match]] = {}
    for result in results.values():
        if isinstance(result, Match):
            claims.setdefault(result.new.id, []).append(result)
    checked = dict(results)
    for matches in claims.values():
        for match in matches:
            keys = batch.keys(match.old)
            rivals = [
                other.old
                for other in matches
                if other is not match and not is_same_title(keys, batch.keys(other.old))
            ]
            if match.evidence in WEAK and rivals:
                text = f"{match.new} is matched by another kept title, too: {described(rivals[0])}"
                checked[match.old] = Pending(match.old, Reason.AMBIGUOUS, text, (match.new,))
    return checked


def _match_episodes(
    episodes: Iterable[TitleIdentity],
    present: Iterable[TitleIdentity],
    results: Mapping[TitleIdentity, Result],
    decisions: Mapping[UUID, UUID],
) -> dict[TitleIdentity, Result]:
    """Episodes have no ids of their own: they match by their series, season and number."""
    here = [title for title in present if title.kind is Media.EPISODE]
    by_id = {title.id: title for title in here}
    by_place = {(title.series_id, title.season, title.episode): title for title in here}
    # Of an id that was kept as two series, the one as which it was kept with the episode.
    new_series: dict[UUID, list[tuple[datetime, UUID | None]]] = {}
    for old, result in results.items():
        if old.kind is Media.SERIES:
            series_id = result.new.id if isinstance(result, Match) else None
            new_series.setdefault(old.id, []).append((old.kept_at or FIRST, series_id))
    found: dict[TitleIdentity, Result] = {}
    for old in episodes:
        decided = by_id.get(decisions.get(old.id, old.id)) if old.id in decisions else None
        if decided is not None:
            found[old] = Match(old, decided, Evidence.DECIDED)
            continue
        series = _series_of(old, new_series.get(old.series_id, ()) if old.series_id else ())
        new = by_place.get((series, old.season, old.episode)) if series else None
        if new is None:
            missing = "the series has no such episode" if series else "its series is not matched"
            found[old] = Pending(old, Reason.NOT_FOUND, missing)
        elif old.premiere_date and new.premiere_date and old.premiere_date != new.premiere_date:
            text = f"that number was first shown on {old.premiere_date}, now {new.premiere_date}"
            found[old] = Pending(old, Reason.CONTRADICTED, text, (new,))
        else:
            evidence = Evidence.SAME_ID if new.id == old.id else Evidence.EPISODE
            found[old] = Match(old, new, evidence)
    return found


def _series_of(
    episode: TitleIdentity, candidates: Iterable[tuple[datetime, UUID | None]]
) -> UUID | None:
    """The new series of an episode, from the times at which its series was kept and the matches:
    the newest that was kept before or with it, else the oldest."""
    in_order = sorted(candidates, key=lambda each: each[0])
    when = episode.kept_at or FIRST
    earlier = [new for kept_at, new in in_order if kept_at <= when]
    if earlier:
        return earlier[-1]
    return in_order[0][1] if in_order else None


def matched(results: Mapping[TitleIdentity, Result]) -> dict[UUID, TitleIdentity]:
    """The new title by the old id; of an id kept more than once, the newest that matched."""

    def when(match: Match) -> float:
        return match.old.kept_at.timestamp() if match.old.kept_at else 0.0

    matches = [result for result in results.values() if isinstance(result, Match)]
    return {match.old.id: match.new for match in sorted(matches, key=when)}
