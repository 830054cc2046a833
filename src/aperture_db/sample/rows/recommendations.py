"""Weekly recommendation runs with their candidates and the evidence for what was chosen."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from aperture_db.sample.people import SampleUser
from aperture_db.sample.rows.embeddings import has_embedding
from aperture_db.sample.rows.taste import media_types
from aperture_db.sample.tables import Row, TableRows, exact
from aperture_db.sample.titles import Title
from aperture_db.sample.world import World

SELECTED = 12
EVIDENCE_PER_CANDIDATE = 3
EVIDENCE_TYPES = ("watched", "favorite", "highly_rated", "recent")
# recommendation_config: similarity, novelty, rating, diversity.
WEIGHTS = (0.4, 0.2, 0.2, 0.2)


@dataclass(frozen=True)
class Candidate:
    id: UUID
    title: Title
    scores: tuple[float, float, float, float]

    @property
    def final_score(self) -> float:
        return sum(weight * score for weight, score in zip(WEIGHTS, self.scores, strict=True))


@dataclass(frozen=True)
class Run:
    id: UUID
    user: SampleUser
    media_type: str
    started_at: datetime
    candidates: tuple[Candidate, ...]
    """By rank; empty for a run that failed."""

    @property
    def selected(self) -> tuple[Candidate, ...]:
        return self.candidates[:SELECTED]


def tables(world: World) -> Iterator[TableRows]:
    runs = list(_runs(world))
    yield TableRows("recommendation_runs", (_run_row(run) for run in runs))
    yield TableRows(
        "recommendation_candidates", (row for run in runs for row in _candidate_rows(run))
    )
    yield TableRows(
        "recommendation_evidence", (row for run in runs for row in _evidence_rows(world, run))
    )


def _runs(world: World) -> Iterator[Run]:
    for user in world.enabled_users:
        for media_type in media_types(user):
            pool = _eligible(world, user, media_type)
            for weeks_ago in reversed(range(world.size.runs_per_user)):
                started = world.clock.sunday(weeks_ago) + timedelta(minutes=user.number)
                chosen = _candidates(world, media_type, pool)
                yield Run(world.new_id(), user, media_type, started, chosen)
    admin = world.users[0]
    failed_at = world.clock.sunday(world.size.runs_per_user)
    yield Run(world.new_id(), admin, "movie", failed_at, ())


def _eligible(world: World, user: SampleUser, media_type: str) -> list[tuple[float, Title]]:
    """What could be recommended, with how well it suits; series that are begun count too."""
    known: Sequence[Title] = world.shows
    if media_type == "movie":
        seen = world.viewing.titles_by_user[user.id]
        known = [film for film in world.films if film.id not in seen and has_embedding(world, film)]
    fitting = [(user.affinity(title), title) for title in known if user.may_watch(title)]
    if media_type == "movie":
        # Some more than are kept, so that runs differ.
        return heapq.nlargest(2 * world.size.movie_candidates, fitting, key=lambda pair: pair[0])
    return fitting


def _candidates(
    world: World, media_type: str, pool: list[tuple[float, Title]]
) -> tuple[Candidate, ...]:
    rng = world.rng
    scored = [
        Candidate(
            world.new_id(),
            title,
            (
                min(0.99, max(0.05, 0.3 + 0.5 * fit + rng.gauss(0, 0.04))),
                rng.random(),
                title.score / 10,
                rng.uniform(0.3, 0.9),
            ),
        )
        for fit, title in pool
    ]
    scored.sort(key=lambda candidate: candidate.final_score, reverse=True)
    return tuple(scored[: world.size.movie_candidates] if media_type == "movie" else scored)


def _run_row(run: Run) -> Row:
    is_complete = bool(run.candidates)
    duration_ms = 4_000 + 45 * len(run.candidates)
    finished_at = run.started_at + timedelta(milliseconds=duration_ms)
    return {
        "id": run.id,
        "created_at": run.started_at,
        "user_id": run.user.id,
        "run_type": "scheduled",
        "media_type": run.media_type,
        "candidate_count": len(run.candidates),
        "selected_count": len(run.selected),
        "duration_ms": duration_ms if is_complete else None,
        "status": "completed" if is_complete else "failed",
        "error_message": None if is_complete else "The AI provider did not answer in time",
        # Aperture sets it for series only.
        "completed_at": finished_at if is_complete and run.media_type == "series" else None,
    }


def _candidate_rows(run: Run) -> Iterator[Row]:
    is_movie = run.media_type == "movie"
    for rank, candidate in enumerate(run.candidates, start=1):
        is_selected = rank <= SELECTED
        similarity, novelty, rating, diversity = candidate.scores
        yield {
            "id": candidate.id,
            "created_at": run.started_at,
            "run_id": run.id,
            "movie_id": candidate.title.id if is_movie else None,
            "series_id": None if is_movie else candidate.title.id,
            "rank": rank,
            "selected_rank": rank if is_selected else None,
            "is_selected": is_selected,
            "final_score": exact(candidate.final_score, 4),
            "similarity_score": exact(similarity, 4),
            "novelty_score": exact(novelty, 4),
            "rating_score": exact(rating, 4),
            "diversity_score": exact(diversity, 4),
            "score_breakdown": Jsonb({"similarity": round(similarity, 4)}),
            "ai_explanation": _explanation(candidate.title) if is_selected else None,
        }


def _explanation(title: Title) -> str:
    return f"You like {title.genres[0].lower()}, and {title.name} is well thought of."


def _evidence_rows(world: World, run: Run) -> Iterator[Row]:
    """What the user watched that is most like a chosen title."""
    is_movie = run.media_type == "movie"
    seen: Sequence[Title] = (
        world.viewing.films_of(run.user) if is_movie else world.viewing.shows_of(run.user)
    )
    for candidate in run.selected:
        genres = set(candidate.title.genres)
        alike = heapq.nlargest(
            EVIDENCE_PER_CANDIDATE,
            seen[:200],
            key=lambda title: len(genres.intersection(title.genres)),
        )
        for title in alike:
            common = len(genres.intersection(title.genres)) / len(genres)
            yield {
                "id": world.new_id(),
                "created_at": run.started_at,
                "candidate_id": candidate.id,
                "similar_movie_id": title.id if is_movie else None,
                "similar_series_id": None if is_movie else title.id,
                "similarity": exact(0.35 + 0.5 * common, 4),
                "evidence_type": world.rng.choice(EVIDENCE_TYPES),
            }
