"""The tables of embeddings, and the model whose embeddings are in use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture.kinds import EMBEDDING_TABLE, Media
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.session import Connection

DEFAULT_MODEL = "text-embedding-3-large"
# Those that Aperture 0.7.8 knows; every other model is in custom_ai_models.
KNOWN_DIMENSIONS = {
    "openai:text-embedding-3-large": 3072,
    "openai:text-embedding-3-small": 1536,
    "google:gemini-embedding-001": 3072,
    "ollama:nomic-embed-text": 768,
    "ollama:nomic-embed-text-v2-moe": 768,
    "ollama:mxbai-embed-large": 1024,
}
CUSTOM_MODEL_PROVIDERS = ("ollama", "openai-compatible", "openrouter")
FREE_PROVIDERS = ("ollama", "openai-compatible")
"""Their models run on the administrator's own machine."""


@dataclass(frozen=True)
class EmbeddingTable:
    """A table of embeddings: one per kind and dimension, from migration 0078 on."""

    oid: int
    schema: str
    name: str
    media: Media
    dimension: int | None
    """Of the vectors; None where the column does not fix it."""
    is_legacy: bool
    """Left over by migration 0078: nothing reads it."""
    is_undivided: bool
    """The one table per kind from before 0078, whatever the model."""

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def item_column(self) -> str:
        """The foreign key to the film, series or episode."""
        return f"{self.media}_id"


@dataclass(frozen=True)
class ActiveModel:
    """The embedding model that Aperture is configured to use."""

    provider: str | None
    """None before migration 0075, when there was only OpenAI and no name for it."""
    model: str
    dimension: int | None = None
    """None where neither Aperture nor an administrator says."""

    @property
    def id(self) -> str:
        """As `model` has it in the embedding tables."""
        return f"{self.provider}:{self.model}" if self.provider else self.model

    def is_kept_in(self, table: EmbeddingTable) -> bool:
        """Aperture reads this model's embeddings from `table`."""
        if table.is_legacy:
            return False
        return table.is_undivided or self.dimension in (None, table.dimension)

    def names_in(self, table: EmbeddingTable) -> tuple[str, ...]:
        """The values of `model` in its rows there; until 0077 names had no provider."""
        return (self.id, self.model) if table.is_undivided else (self.id,)


def read_embedding_tables(conn: Connection) -> list[EmbeddingTable]:
    """Those that exist, ordered by kind and dimension, the legacy ones last in their kind."""
    rows = conn.execute(queries.compose("aperture/embedding_tables")).fetchall()
    tables = [_embedding_table(*row) for row in rows]
    order = list(Media)
    return sorted(
        tables, key=lambda table: (order.index(table.media), table.is_legacy, table.dimension or 0)
    )


def _embedding_table(oid: int, schema: str, name: str, vector_type: str) -> EmbeddingTable:
    match = EMBEDDING_TABLE.fullmatch(name)
    assert match is not None, name
    dimension = re.search(r"\((\d+)\)", vector_type)
    return EmbeddingTable(
        oid=oid,
        schema=schema,
        name=name,
        media=Media((match["media"] or "movie").rstrip("_")),
        dimension=int(dimension[1]) if dimension else None,
        is_legacy=match["legacy"] is not None,
        is_undivided=match["dimension"] is None and match["legacy"] is None,
    )


def read_active_model(
    conn: Connection, embedding_tables: Iterable[EmbeddingTable], readable: Mapping[str, Table]
) -> ActiveModel | None:
    """The configured model; None when none is configured or known.

    `readable`: tables with SELECT on them, by name. Settings are in system_settings, the
    dimensions of models of one's own, from migration 0091 on, in custom_ai_models.
    """
    if "system_settings" not in readable:
        return None
    keys = ["ai_config", "openai_api_key", "embedding_model"]
    rows = conn.execute(queries.compose("aperture/settings"), {"keys": keys}).fetchall()
    is_undivided = any(table.is_undivided for table in embedding_tables)
    active = configured_model(dict(rows), is_undivided=is_undivided)
    if active is None:
        return None
    if dimension := KNOWN_DIMENSIONS.get(f"{active.provider or 'openai'}:{active.model}"):
        return replace(active, dimension=dimension)
    custom_models = readable.get("custom_ai_models")
    if (
        active.provider in CUSTOM_MODEL_PROVIDERS
        and custom_models is not None
        and "embedding_dimensions" in custom_models.columns
    ):
        parameters = {"provider": active.provider, "model": active.model}
        row = conn.execute(
            queries.compose("aperture/custom_model_dimension"), parameters
        ).fetchone()
        return replace(active, dimension=row[0] if row else None)
    return active


def configured_model(settings: Mapping[str, str], *, is_undivided: bool) -> ActiveModel | None:
    """The model that these rows of system_settings name.

    Without a readable ai_config, Aperture makes one from the OpenAI key and `embedding_model`.
    `is_undivided`: the database is older than 0078, where there may be no ai_config yet.
    """
    try:
        config = json.loads(settings.get("ai_config", ""))
    except ValueError:
        config = None
    if isinstance(config, dict):
        embeddings = config.get("embeddings")
        if not isinstance(embeddings, dict):
            return None
        provider, model = embeddings.get("provider"), embeddings.get("model")
        return ActiveModel(str(provider), str(model)) if provider and model else None
    if is_undivided and (model := settings.get("embedding_model")):
        return ActiveModel(None, model)
    if settings.get("openai_api_key"):
        return ActiveModel("openai", settings.get("embedding_model") or DEFAULT_MODEL)
    return None
