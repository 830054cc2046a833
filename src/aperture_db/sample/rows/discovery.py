"""Titles outside the library: discovery, requests, and films missing from collections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from psycopg.types.json import Jsonb

from aperture_db.sample import invented
from aperture_db.sample.people import SampleUser
from aperture_db.sample.rows.content import collection_ids
from aperture_db.sample.rows.taste import media_types
from aperture_db.sample.tables import Row, TableRows, exact
from aperture_db.sample.titles import INVENTED_GENRES, read_list
from aperture_db.sample.world import World

POOL_PER_MEDIA = 40
CANDIDATES_PER_RUN = 12
RUN_DAYS = 5
FIRST_DISCOVERED_ID = 96_000_000
SOURCES = ("tmdb_recommendations", "tmdb_similar", "tmdb_discover", "trakt_trending")
REQUEST_STATUSES = ("available", "approved", "submitted", "declined")

Discovered = dict[str, object]


def tables(world: World) -> Iterator[TableRows]:
    pool = {media: list(_pool(world, media)) for media in ("movie", "series")}
    runs = list(_runs(world))
    candidates = list(_candidates(world, runs, pool))
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
        title = invented.new_title(rng, taken)
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
            "overview": invented.plot(rng),
            "genres": Jsonb([{"name": rng.choice(INVENTED_GENRES)}]),
            "vote_average": exact(rng.uniform(5.5, 8.5), 2),
            "vote_count": rng.randint(80, 9_000),
            "popularity": exact(rng.uniform(5, 90), 2),
            "directors": [invented.person(rng)],
            "runtime_minutes": rng.randint(80, 150) if media_type == "movie" else 45,
            "is_enriched": True,
            "sources": [rng.choice(SOURCES)],
            "created_at": updated_at - timedelta(days=5),
            "updated_at": updated_at,
        }


def _discovering(world: World) -> list[SampleUser]:
    return [user for user in world.enabled_users if user.role.max_parental_rating is None]


def _runs(world: World) -> Iterator[Discovered]:
    """One per user, kind and day, oldest first."""
    for days_ago in reversed(range(RUN_DAYS)):
        for user in _discovering(world):
            for media_type in media_types(user):
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


def _candidates(
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
    rows = [row for row in read_list("missing") if row["collection"] in known]
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
