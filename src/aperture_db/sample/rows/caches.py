"""What Aperture keeps so as not to ask twice. Caches are never pruned, so some rows are old."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta

from psycopg.types.json import Jsonb

from aperture_db.sample.rows.content import collection_ids
from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.world import World

VERDICTS = 60
FORGOTTEN_VERDICTS = 6
"""About films that have left the library since."""
PEOPLE = 25
POSTERS = 30
CHARTS = ("nfx", "dnp", "mxx")


def tables(world: World) -> Iterator[TableRows]:
    yield TableRows("similarity_validation_cache", _verdicts(world))
    yield TableRows("tmdb_collection_cache", _collections(world))
    yield TableRows("tmdb_poster_cache", _posters(world))
    yield TableRows("person_tmdb_profile_cache", _people(world))
    yield TableRows("justwatch_chart_cache", _charts(world))


def _verdicts(world: World) -> Iterator[Row]:
    pairs = {tuple(world.rng.sample(world.films, 2)) for _ in range(VERDICTS)}
    for number, (source, target) in enumerate(sorted(pairs, key=lambda pair: pair[0].number)):
        common = set(source.genres) & set(target.genres)
        yield {
            "id": world.new_id(),
            "source_id": source.id,
            "target_id": world.new_id() if number < FORGOTTEN_VERDICTS else target.id,
            "source_type": "movie",
            "target_type": "movie",
            "is_valid": bool(common),
            "reason": f"Both are {min(common).lower()}." if common else "Nothing in common.",
            "created_at": world.clock.moment(world.rng, world.clock.library_start),
        }


def _collections(world: World) -> Iterator[Row]:
    films_of = defaultdict(list)
    for film in world.films:
        films_of[film.collection].append(film)
    for name, collection_id in collection_ids(world.films).items():
        yield {
            "collection_id": collection_id,
            "name": name,
            "overview": f"The films of {name.removesuffix(' Collection')}.",
            "poster_path": f"/collection-{collection_id}.jpg",
            "parts_json": Jsonb(
                [{"id": f.tmdb_id, "title": f.name, "release_year": f.year} for f in films_of[name]]
            ),
            "updated_at": world.now - timedelta(days=9),
        }


def _posters(world: World) -> Iterator[Row]:
    for film in world.films[:POSTERS]:
        yield {
            "media_type": "movie",
            "tmdb_id": film.tmdb_id,
            "language": "en",
            "poster_path": f"/poster-{film.tmdb_id}.jpg",
            "fetched_at": world.clock.moment(world.rng, world.now - timedelta(days=60)),
        }


def _people(world: World) -> Iterator[Row]:
    names = dict.fromkeys(name for film in world.films for name in film.directors)
    for number, name in enumerate(list(names)[:PEOPLE]):
        directed = [film for film in world.films if name in film.directors]
        updated_at = world.clock.moment(world.rng, world.now - timedelta(days=40))
        yield {
            "name_key": name.lower(),
            "tmdb_person_id": 99_000_000 + number,
            "profile_path": f"/person-{number}.jpg",
            "not_found": False,
            "combined_credits_json": Jsonb(
                {"crew": [{"id": f.tmdb_id, "title": f.name, "job": "Director"} for f in directed]}
            ),
            "combined_credits_cached_at": updated_at,
            "updated_at": updated_at,
        }


def _charts(world: World) -> Iterator[Row]:
    for number, provider in enumerate(CHARTS):
        ranked = world.films[number * 5 : number * 5 + 5]
        yield {
            "cache_key": f"popular:{provider}:US:movie",
            "payload": Jsonb({"titles": [{"title": f.name, "year": f.year} for f in ranked]}),
            "fetched_at": world.now - timedelta(hours=3 + 200 * number),
        }
