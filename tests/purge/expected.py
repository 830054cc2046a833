"""What each option has to leave, row by row, told a second time and in another way than the tool
does: from facts about Aperture, without foreign keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.purge.contents import Contents, Row

TASTE = ("embedding", "embedding_updated_at", "synopsis", "synopsis_updated_at")
PROFILE = ("embedding", "embedding_model", "auto_updated_at")


@dataclass(frozen=True)
class Case:
    """One purge."""

    what: str
    include_locked: bool = False
    keep_runs: bool = False
    no_keep: bool = False

    @property
    def films(self) -> bool:
        return self.what in ("movies", "content")

    @property
    def series(self) -> bool:
        return self.what in ("series", "content")

    @property
    def history(self) -> bool:
        return self.what == "watch-history"

    @property
    def arguments(self) -> tuple[str, ...]:
        flags = [
            *(["--include-locked"] if self.include_locked else []),
            *(["--keep-runs"] if self.keep_runs else []),
            *(["--no-keep"] if self.no_keep else []),
        ]
        return ("--what", self.what, *flags)

    def concerns(self, media: str) -> bool:
        """Whether rows with this media_type are in scope."""
        return {
            "movie": self.films,
            "series": self.series,
            "episode": self.series,
            "both": self.what == "content",
        }[media]


def expected_after(case: Case, before: Contents) -> Contents:
    """The rows that have to be left, changed ones with their new values. `updated_at` of rows
    that change is left out of them: a trigger of Aperture's sets it."""
    gone = _Gone(case, before)
    return {
        table: [_changed(case, table, row, before) for row in rows if not gone(table, row)]
        for table, rows in before.items()
    }


class _Gone:
    """Tells which rows go."""

    def __init__(self, case: Case, before: Contents) -> None:
        self._case = case
        self._runs = {r["id"] for r in before["recommendation_runs"] if self._by_runs(r)}
        self._candidates = {
            r["id"] for r in before["recommendation_candidates"] if self._candidate(r)
        }
        self._discoveries = {r["id"] for r in before["discovery_runs"] if self._by_runs(r)}
        films_noted = [r["id"] for r in before.get("notes", []) if r["movie_id"]]
        self._notes = set(films_noted if case.films else [])

    def __call__(self, table: str, row: Row) -> bool:
        return self._wholly(table) or self._rule(table)(row)

    def _wholly(self, table: str) -> bool:
        case = self._case
        if "embeddings_" in table:
            is_film = table.startswith("embeddings_")
            return case.films if is_film else case.series
        if table in ("movies", "collections", "gap_analysis_runs", "gap_analysis_results"):
            return case.films
        if table in ("series", "episodes", "user_watching_series"):
            return case.series
        if table == "assistant_suggestions":
            return case.films or case.series or (case.history and not case.keep_runs)
        return table == "other.favourites" and case.films

    def _rule(self, table: str) -> Callable[[Row], bool]:
        case = self._case
        rules: dict[str, Callable[[Row], bool]] = {
            "watch_history": lambda r: case.history or case.concerns(r["media_type"]),
            "user_ratings": lambda r: (
                case.what == "ratings" or case.concerns("movie" if r["movie_id"] else "series")
            ),
            "recommendation_runs": lambda r: r["id"] in self._runs,
            "recommendation_candidates": lambda r: r["id"] in self._candidates,
            "recommendation_evidence": self._evidence,
            "discovery_runs": lambda r: r["id"] in self._discoveries,
            "discovery_candidates": lambda r: r["run_id"] in self._discoveries,
            "similarity_validation_cache": lambda r: (
                case.no_keep
                and (case.concerns(r["source_type"]) or case.concerns(r["target_type"]))
            ),
            "notes": lambda r: r["id"] in self._notes,
            "note_tags": lambda r: r["note_id"] in self._notes,
        }
        return rules.get(table, lambda _row: False)

    def _by_runs(self, run: Row) -> bool:
        case = self._case
        return (case.history and not case.keep_runs) or case.concerns(run["media_type"])

    def _candidate(self, row: Row) -> bool:
        return row["run_id"] in self._runs or self._case.concerns(
            "movie" if row["movie_id"] else "series"
        )

    def _evidence(self, row: Row) -> bool:
        case = self._case
        return bool(
            row["candidate_id"] in self._candidates
            or (row["similar_movie_id"] and case.films)
            or (row["similar_series_id"] and case.series)
        )


def _changed(case: Case, table: str, row: Row, before: Contents) -> Row:
    """The row with the values that it has to have after."""
    values = _new_values(case, table, row, before)
    if any(row[name] != value for name, value in values.items()):
        return {name: value for name, value in (row | values).items() if name != "updated_at"}
    return row


def _new_values(case: Case, table: str, row: Row, before: Contents) -> Row:
    rules: dict[str, Callable[[], Row]] = {
        "users": lambda: _marks(case),
        "user_taste_profiles": lambda: _profile(case, row),
        "user_preferences": lambda: _preferences(case),
        "graph_playlists": lambda: _playlist(case, row),
        "channels": lambda: (
            {"example_movie_ids": []}
            if case.films and case.no_keep and row["example_movie_ids"] is not None
            else {}
        ),
        "discovery_requests": lambda: (
            {"discovery_candidate_id": None} if _is_discovery_gone(case, row, before) else {}
        ),
        "plans": lambda: (
            ({"movie_id": None} if case.films else {})
            | ({"series_id": None} if case.series else {})
        ),
    }
    return rules[table]() if table in rules else {}


def _preferences(case: Case) -> Row:
    prefixes = [
        *([""] if case.films or case.history else []),
        *(["series_"] if case.series or case.history else []),
    ]
    return {f"{prefix}taste_{name}": None for prefix in prefixes for name in TASTE}


def _playlist(case: Case, row: Row) -> Row:
    if case.no_keep and row["source_item_type"] and case.concerns(row["source_item_type"]):
        return {"source_item_id": None}
    return {}


def _marks(case: Case) -> Row:
    marks = [
        *(["watch_history_synced_at"] if case.films or case.history else []),
        *(["series_watch_history_synced_at"] if case.series or case.history else []),
        *(["trakt_synced_at"] if case.what == "ratings" else []),
    ]
    return dict.fromkeys(marks)


def _profile(case: Case, row: Row) -> Row:
    if row["is_locked"] and not case.include_locked:
        return {}
    if case.what == "ratings":
        return {"auto_updated_at": None}
    if case.history or case.concerns(row["media_type"]):
        return dict.fromkeys(PROFILE)
    return {}


def _is_discovery_gone(case: Case, request: Row, before: Contents) -> bool:
    candidate = next(
        (
            row
            for row in before["discovery_candidates"]
            if row["id"] == request["discovery_candidate_id"]
        ),
        None,
    )
    if candidate is None:
        return False
    run = next(row for row in before["discovery_runs"] if row["id"] == candidate["run_id"])
    if case.history:
        return not case.keep_runs
    return case.concerns(run["media_type"])
