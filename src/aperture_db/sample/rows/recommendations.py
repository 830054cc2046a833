"""Rows of recommendation runs, discovery, requests, and films missing from collections."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from aperture_db.sample.people import SampleUser
from aperture_db.sample.rows import Row, TableRows, exact
from aperture_db.sample.rows.library import collection_ids, has_embedding
from aperture_db.sample.titles import Title, new_title, person, plot, read_table, words
from aperture_db.sample.world import World

SELECTED = 12
EVIDENCE_PER_CANDIDATE = 3
EVIDENCE_TYPES = ("watched", "favorite", "highly_rated", "recent")
# recommendation_config: similarity, novelty, rating, diversity.
WEIGHTS = (0.4, 0.2, 0.2, 0.2)
POOL_PER_MEDIA = 40
CANDIDATES_PER_RUN = 12
RUN_DAYS = 5
FIRST_DISCOVERED_ID = 96_000_000
SOURCES = ("tmdb_recommendations", "tmdb_similar", "tmdb_discover", "trakt_trending")
REQUEST_STATUSES = ("available", "approved", "submitted", "declined")
Discovered = dict[str, object]


@dataclass(frozen=True)
class Candidate:
    id: UUID
    title: Title
    scores: tuple[float, float, float, float]

    @property
    def final_score(self) -> float:
        return sum(weight * score for weight, score in zip(WEIGHTS, self.scores, strict=True))


@dataclass(frozen=True)
class RecommendationRun:
    id: UUID
    user: SampleUser
    media_type: str
    started_at: datetime
    candidates: tuple[Candidate, ...]
    """By rank; empty for a run that failed."""

    @property
    def selected(self) -> tuple[Candidate, ...]:
        return self.candidates[:SELECTED]


def recommendation_tables(world: World) -> Iterator[TableRows]:
    runs = list(_runs(world))
    yield TableRows("recommendation_runs", (_run_row(run) for run in runs))
    yield TableRows(
        "recommendation_candidates", (row for run in runs for row in _candidate_rows(run))
    )
    yield TableRows(
        "recommendation_evidence", (row for run in runs for row in _evidence_rows(world, run))
    )


def _runs(world: World) -> Iterator[RecommendationRun]:
    for user in world.enabled_users:
        for media_type in user.media_types:
            pool = _eligible(world, user, media_type)
            for weeks_ago in reversed(range(world.size.runs_per_user)):
                started = world.clock.sunday(weeks_ago) + timedelta(minutes=user.number)
                chosen = _candidates(world, media_type, pool)
                yield RecommendationRun(world.new_id(), user, media_type, started, chosen)
    admin = world.users[0]
    failed_at = world.clock.sunday(world.size.runs_per_user)
    yield RecommendationRun(world.new_id(), admin, "movie", failed_at, ())


def _eligible(world: World, user: SampleUser, media_type: str) -> list[tuple[float, Title]]:
    """Titles that could be recommended, with their fit; series already begun count too."""
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


def _run_row(run: RecommendationRun) -> Row:
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


def _candidate_rows(run: RecommendationRun) -> Iterator[Row]:
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


def _evidence_rows(world: World, run: RecommendationRun) -> Iterator[Row]:
    """The watched titles that are most like each selected one."""
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


def discovery_tables(world: World) -> Iterator[TableRows]:
    pool = {media: list(_pool(world, media)) for media in ("movie", "series")}
    runs = list(_discovery_runs(world))
    candidates = list(_discovery_candidates(world, runs, pool))
    yield TableRows("discovery_pool", [*pool["movie"], *pool["series"]])
    yield TableRows("discovery_runs", runs)
    yield TableRows("discovery_candidates", candidates)
    yield TableRows("discovery_requests", _requests(world, candidates))
    run_id = world.new_id()
    results = list(_gaps(world, run_id))
    yield TableRows("gap_analysis_runs", [_gap_run(world, run_id, len(results))])
    yield TableRows("gap_analysis_results", results)


def _pool(world: World, media_type: str) -> Iterator[Discovered]:
    rng = world.rng
    taken = {title.name.lower() for title in [*world.films, *world.shows]}
    first = FIRST_DISCOVERED_ID + (POOL_PER_MEDIA if media_type == "series" else 0)
    for number in range(POOL_PER_MEDIA):
        title = new_title(rng, taken)
        updated_at = world.clock.moment(rng, world.now - timedelta(days=50))
        yield {
            "id": world.new_id(),
            "media_type": media_type,
            "tmdb_id": first + number,
            "title": title,
            "original_title": title,
            "original_language": "en",
            "release_year": rng.randint(1990, 2025),
            "poster_path": f"/poster-{first + number}.jpg",
            "overview": plot(rng),
            "genres": Jsonb([{"name": rng.choice(words("genres"))}]),
            "vote_average": exact(rng.uniform(5.5, 8.5), 2),
            "vote_count": rng.randint(80, 9_000),
            "popularity": exact(rng.uniform(5, 90), 2),
            "directors": [person(rng)],
            "runtime_minutes": rng.randint(80, 150) if media_type == "movie" else 45,
            "is_enriched": True,
            "sources": [rng.choice(SOURCES)],
            "created_at": updated_at - timedelta(days=5),
            "updated_at": updated_at,
        }


def _discovering(world: World) -> list[SampleUser]:
    return [user for user in world.enabled_users if user.role.max_parental_rating is None]


def _discovery_runs(world: World) -> Iterator[Discovered]:
    """One per user, kind and day, oldest first."""
    for days_ago in reversed(range(RUN_DAYS)):
        for user in _discovering(world):
            for media_type in user.media_types:
                yield {
                    "id": world.new_id(),
                    "created_at": world.now - timedelta(days=days_ago, hours=5),
                    "user_id": user.id,
                    "media_type": media_type,
                    "run_type": "scheduled",
                    "candidates_fetched": 3 * POOL_PER_MEDIA,
                    "candidates_filtered": 2 * POOL_PER_MEDIA,
                    "candidates_scored": POOL_PER_MEDIA,
                    "candidates_stored": CANDIDATES_PER_RUN,
                    "duration_ms": world.rng.randint(9_000, 30_000),
                    "status": "completed",
                }


def _discovery_candidates(
    world: World, runs: list[Discovered], pool: dict[str, list[Discovered]]
) -> Iterator[Discovered]:
    """Of the newest run of each user and kind: a new run replaces what the last one stored."""
    newest = {(run["user_id"], run["media_type"]): run for run in runs}
    for (user_id, media_type), run in newest.items():
        chosen = world.rng.sample(pool[str(media_type)], CANDIDATES_PER_RUN)
        for rank, entry in enumerate(chosen, start=1):
            score = 0.95 - 0.03 * rank
            yield {
                "id": world.new_id(),
                "created_at": run["created_at"],
                "run_id": run["id"],
                "user_id": user_id,
                "media_type": media_type,
                "tmdb_id": entry["tmdb_id"],
                "pool_id": entry["id"],
                "rank": rank,
                "final_score": exact(score, 4),
                "similarity_score": exact(score - 0.1, 4),
                "popularity_score": exact(world.rng.random(), 4),
                "recency_score": exact(world.rng.random(), 4),
                "source_score": exact(0.5, 4),
                "source": world.rng.choice(SOURCES),
                "title": entry["title"],
                "original_title": entry["original_title"],
                "original_language": entry["original_language"],
                "release_year": entry["release_year"],
                "poster_path": entry["poster_path"],
                "overview": entry["overview"],
                "genres": entry["genres"],
                "is_enriched": True,
                "is_personalized": rank % 3 == 0,
            }


def _requests(world: World, candidates: list[Discovered]) -> Iterator[Row]:
    admin = world.users[0]
    wanted = [row for row in candidates if row["user_id"] == admin.id]
    for number, (candidate, status) in enumerate(zip(wanted, REQUEST_STATUSES, strict=False)):
        yield {
            "id": world.new_id(),
            "created_at": world.now - timedelta(hours=4 - number),
            "updated_at": world.now - timedelta(hours=4 - number),
            "user_id": admin.id,
            "media_type": candidate["media_type"],
            "tmdb_id": candidate["tmdb_id"],
            "title": candidate["title"],
            "seerr_request_id": 100 + number,
            "seerr_media_id": 200 + number,
            "status": status,
            "discovery_candidate_id": candidate["id"],
            "source": "discovery",
        }


def _missing(world: World) -> list[tuple[str, str, int]]:
    """Collection, title and year of films that the library lacks."""
    known = collection_ids(world.films)
    rows = [row for row in read_table("missing") if row["collection"] in known]
    missing = [(row["collection"], row["title"], int(row["year"])) for row in rows]
    owned = [(film.collection, f"{film.name} II", film.year + 3) for film in world.films]
    return missing or [film for film in owned if film[0]][:1]


def _gaps(world: World, run_id: UUID) -> Iterator[Row]:
    known = collection_ids(world.films)
    for number, (collection, title, year) in enumerate(_missing(world)):
        yield {
            "id": world.new_id(),
            "created_at": world.now - timedelta(days=9),
            "run_id": run_id,
            "collection_id": known[collection],
            "collection_name": collection,
            "tmdb_id": FIRST_DISCOVERED_ID + 1_000 + number,
            "title": title,
            "release_year": year,
            "release_date": f"{year}-06-01",
            "in_library": False,
            "seerr_status": "requested" if number == 0 else "none",
        }


def _gap_run(world: World, run_id: UUID, missing: int) -> Row:
    owned = sum(1 for film in world.films if film.collection)
    started_at = world.now - timedelta(days=9)
    return {
        "id": run_id,
        "created_at": started_at,
        "started_at": started_at,
        "completed_at": started_at + timedelta(seconds=40),
        "status": "completed",
        "collections_scanned": len(collection_ids(world.films)),
        "total_parts": owned + missing,
        "owned_parts": owned,
        "missing_count": missing,
    }
