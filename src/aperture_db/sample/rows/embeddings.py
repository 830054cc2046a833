"""Embeddings of films, series and episodes, and what a former model has left behind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from pgvector import HalfVector

from aperture_db.sample.tables import Row, TableRows
from aperture_db.sample.titles import Film, Title
from aperture_db.sample.vectors import EPISODE_NOISE, TITLE_NOISE, VectorSpace, traits_of
from aperture_db.sample.world import World

FORMER_DIMENSION = 384
FORMER_MODEL = "ollama:all-minilm"
FORMER_COUNT = 20
"""Films whose embeddings by a former model were never deleted."""


def tables(world: World) -> Iterator[TableRows]:
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
