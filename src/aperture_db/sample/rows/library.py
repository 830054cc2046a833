"""Rows of libraries, films, series, episodes, collections and embeddings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pgvector import HalfVector
from psycopg.types.json import Jsonb

from aperture_db.sample.rows import Row, TableRows, exact
from aperture_db.sample.titles import Episode, Film, Show, Title, words
from aperture_db.sample.world import EPISODE_NOISE, TITLE_NOISE, VectorSpace, World, traits_of

FILM_LIBRARY = "a0" * 16
DOCUMENTARY_LIBRARY = "b1" * 16
SERIES_LIBRARY = "c2" * 16
LIBRARIES = (
    (FILM_LIBRARY, "Films", "movies", True),
    (DOCUMENTARY_LIBRARY, "Documentaries", "movies", True),
    (SERIES_LIBRARY, "Series", "tvshows", True),
    ("d3" * 16, "Home videos", "homevideos", False),
)
ENRICHMENT_VERSION = 3
FIRST_COLLECTION_ID = 95_000_000
SERVER_URL = "http://jellyfin.example:8096"
FORMER_DIMENSION = 384
FORMER_MODEL = "ollama:all-minilm"
FORMER_COUNT = 20
"""Films whose embeddings by a former model were never deleted."""


def library_tables(world: World) -> Iterator[TableRows]:
    collections = collection_ids(world.films)
    yield TableRows("library_config", _libraries(world))
    yield TableRows("collections", _collections(world, collections))
    yield TableRows("studios_networks", _studios_and_networks(world))
    yield TableRows("movies", (_film(world, film, collections) for film in world.films))
    yield TableRows("series", (_show(world, show) for show in world.shows))
    yield TableRows("episodes", (_episode(*pair) for pair in world.episodes()))


def item_id_of(title: Title) -> str:
    """The media server's identifier."""
    return f"{'5' if isinstance(title, Show) else 'f'}{title.number:031x}"


def collection_ids(films: list[Film]) -> dict[str, int]:
    """TMDb's identifiers of the collections that films belong to."""
    names = dict.fromkeys(film.collection for film in films if film.collection)
    return {name: FIRST_COLLECTION_ID + number for number, name in enumerate(names)}


def studio_of(title: Title) -> str:
    studios = words("studios")
    return studios[title.number % len(studios)]


def _libraries(world: World) -> Iterator[Row]:
    for library_id, name, collection_type, is_enabled in LIBRARIES:
        yield {
            "id": world.new_id(),
            "provider_library_id": library_id,
            "name": name,
            "collection_type": collection_type,
            "is_enabled": is_enabled,
            "created_at": world.clock.library_start,
            "updated_at": world.clock.library_start,
        }


def _collections(world: World, ids: dict[str, int]) -> Iterator[Row]:
    counts = Counter(film.collection for film in world.films)
    for name, collection_id in ids.items():
        yield {
            "id": world.new_id(),
            "tmdb_id": str(collection_id),
            "name": name,
            "overview": f"The films of {name.removesuffix(' Collection')}.",
            "poster_url": f"/collection-{collection_id}.jpg",
            "movie_count": counts[name],
            "enriched_at": world.now - timedelta(days=3),
        }


def _studios_and_networks(world: World) -> Iterator[Row]:
    studios = dict.fromkeys((studio_of(film), "studio") for film in world.films)
    networks = dict.fromkeys((show.network, "network") for show in world.shows)
    for number, (name, kind) in enumerate([*studios, *networks]):
        yield {
            "id": world.new_id(),
            "name": name,
            "type": kind,
            "emby_id": str(4000 + number),
            "tmdb_id": 97_000_000 + number,
            "logo_path": f"/logo-{number}.png" if number % 4 else None,
            "emby_synced_at": world.now - timedelta(days=1),
        }


def _shared(world: World, title: Title) -> dict[str, object]:
    """The columns that films and series have in common."""
    rng, name = world.rng, title.name
    is_new = title.added_at >= world.clock.movie_sync
    enriched_at = None if is_new else title.added_at + timedelta(hours=2)
    return {
        "id": title.id,
        "created_at": title.added_at,
        "updated_at": title.added_at,
        "title": name,
        "original_title": name,
        "sort_title": name.removeprefix("The ").removeprefix("A "),
        "year": title.year,
        "genres": list(title.genres),
        "overview": title.overview,
        "tagline": None,
        "community_rating": exact(title.score, 2),
        "critic_rating": exact(min(100, title.score * 10 + rng.randint(-8, 8)), 2),
        "content_rating": title.content_rating,
        "directors": list(title.directors),
        "writers": list(title.directors[:1]),
        "actors": Jsonb([{"name": actor} for actor in title.actors]),
        "imdb_id": f"tt{title.tmdb_id}",
        "tmdb_id": str(title.tmdb_id),
        "production_countries": [title.country],
        "languages": title.languages,
        "studios": Jsonb([{"name": studio_of(title)}]),
        "keywords": rng.sample(words("keywords"), 3),
        "rt_critic_score": None if is_new else min(99, round(title.score * 11)),
        "rt_audience_score": None if is_new else min(98, round(title.score * 10.5)),
        "metacritic_score": None if is_new else min(97, round(title.score * 9.5)),
        "letterboxd_score": None if is_new else exact(title.score / 2, 1),
        "mdblist_score": None if is_new else round(title.score * 10),
        "enriched_at": enriched_at,
        "mdblist_enriched_at": enriched_at,
        "enrichment_version": 0 if is_new else ENRICHMENT_VERSION,
    }


def _film(world: World, film: Film, collections: dict[str, int]) -> Row:
    item_id = item_id_of(film)
    is_documentary = "Documentary" in film.genres
    folder = "documentaries" if is_documentary else "films"
    collection_id = collections.get(film.collection)
    return _shared(world, film) | {
        "provider_item_id": item_id,
        "provider_library_id": DOCUMENTARY_LIBRARY if is_documentary else FILM_LIBRARY,
        "runtime_minutes": film.minutes,
        "premiere_date": datetime(film.year, 1 + film.number % 12, 15, tzinfo=UTC).date(),
        "path": f"/media/{folder}/{film.name} ({film.year})/{film.name}.mkv".replace(":", ""),
        "poster_url": f"{SERVER_URL}/Items/{item_id}/Images/Primary",
        "backdrop_url": f"{SERVER_URL}/Items/{item_id}/Images/Backdrop",
        "video_resolution": world.rng.choice(("1080p", "1080p", "720p", "2160p")),
        "video_codec": world.rng.choice(("h264", "hevc")),
        "audio_codec": world.rng.choice(("ac3", "aac", "dts")),
        "container": "mkv",
        "collection_id": str(collection_id) if collection_id else None,
        "collection_name": film.collection or None,
    }


def _show(world: World, show: Show) -> Row:
    item_id = item_id_of(show)
    return _shared(world, show) | {
        "provider_item_id": item_id,
        "provider_library_id": SERIES_LIBRARY,
        "end_year": show.end_year,
        "status": "Ended" if show.end_year else "Continuing",
        "total_seasons": max(episode.season for episode in show.episodes),
        "total_episodes": len(show.episodes),
        "network": show.network,
        "air_days": [],
        "tvdb_id": str(98_000_000 + show.number),
        "poster_url": f"{SERVER_URL}/Items/{item_id}/Images/Primary",
        "backdrop_url": f"{SERVER_URL}/Items/{item_id}/Images/Backdrop",
    }


def _episode(show: Show, episode: Episode) -> Row:
    code = f"S{episode.season:02d}E{episode.episode:02d}"
    return {
        "id": episode.id,
        "created_at": show.added_at,
        "updated_at": show.added_at,
        "series_id": show.id,
        "provider_item_id": f"e{episode.number:031x}",
        "season_number": episode.season,
        "episode_number": episode.episode,
        "title": f"Episode {episode.episode}",
        "overview": f"{show.name}, season {episode.season}, episode {episode.episode}.",
        "premiere_date": episode.premiere,
        "year": episode.premiere.year,
        "runtime_minutes": show.minutes,
        "community_rating": exact(min(10, show.score + episode.number % 7 / 10), 2),
        "path": f"/media/series/{show.name}/{show.name} {code}.mkv".replace(":", ""),
    }


def embedding_tables(world: World) -> Iterator[TableRows]:
    dimension = world.size.dimension
    yield TableRows(f"embeddings_{dimension}", _films(world))
    yield TableRows(f"series_embeddings_{dimension}", _shows(world))
    yield TableRows(f"episode_embeddings_{dimension}", _episodes(world))
    yield TableRows(f"embeddings_{FORMER_DIMENSION}", _former(world))
    yield TableRows("custom_ai_models", _custom_models(world))


def has_embedding(world: World, film: Film) -> bool:
    """All but those that came after the newest embedding job."""
    return film.added_at < world.clock.movie_sync


def _films(world: World) -> Iterator[Row]:
    for film in world.films:
        if has_embedding(world, film):
            vector = world.space.near(world.space.center(traits_of(film)), TITLE_NOISE)
            yield _row(world, "movie_id", film, world.model_id, vector)


def _shows(world: World) -> Iterator[Row]:
    for show in world.shows:
        vector = world.space.near(world.space.center(traits_of(show)), TITLE_NOISE)
        yield _row(world, "series_id", show, world.model_id, vector)


def _episodes(world: World) -> Iterator[Row]:
    """Around their series."""
    for show in world.shows:
        center = world.space.near(world.space.center(traits_of(show)), TITLE_NOISE).to_list()
        for episode in show.episodes:
            yield {
                "id": world.new_id(),
                "created_at": show.added_at + timedelta(hours=4),
                "episode_id": episode.id,
                "model": world.model_id,
                "embedding": world.space.near(center, EPISODE_NOISE),
                "canonical_text": f"{show.name} S{episode.season}E{episode.episode}",
            }


def _former(world: World) -> Iterator[Row]:
    space = VectorSpace(FORMER_DIMENSION, world.rng)
    oldest = sorted(world.films, key=lambda film: film.added_at)
    for film in oldest[:FORMER_COUNT]:
        vector = space.near(space.center(traits_of(film)), TITLE_NOISE)
        yield _row(world, "movie_id", film, FORMER_MODEL, vector)


def _row(world: World, column: str, title: Title, model: str, vector: HalfVector) -> Row:
    return {
        "id": world.new_id(),
        "created_at": title.added_at + timedelta(hours=4),
        column: title.id,
        "model": model,
        "embedding": vector,
        "canonical_text": f"{title.name} ({title.year}). {', '.join(title.genres)}. "
        f"{title.overview}",
    }


def _custom_models(world: World) -> Iterator[Row]:
    provider, name = world.model
    models: dict[tuple[str, str, str], int | None] = {("ollama", "chat", "llama3.2"): None}
    models["ollama", "embeddings", FORMER_MODEL.partition(":")[2]] = FORMER_DIMENSION
    if name.startswith("sample-embed"):
        models[provider, "embeddings", name] = world.size.dimension
    for (model_provider, function, model), dimension in models.items():
        yield {
            "provider": model_provider,
            "function_type": function,
            "model_id": model,
            "created_at": world.clock.library_start,
            "embedding_dimensions": dimension,
        }
