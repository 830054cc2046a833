"""Embeddings by kind, dimension and model, and which of them are in use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from aperture_db.aperture import ActiveModel, EmbeddingTable
from aperture_db.stats.questions import Answers, row_source
from aperture_db.stats.report import Count, Embeddings, EmbeddingSet, EmbeddingState

ModelCounts: TypeAlias = Mapping[str | None, Count]


def list_embeddings(
    tables: Iterable[EmbeddingTable],
    counts: Mapping[int, Count],
    models: Mapping[int, ModelCounts],
    active: ActiveModel | None,
    *,
    settings_were_read: bool,
) -> Embeddings:
    """`counts` are the rows of whole tables, `models` their parts where known; both by oid."""
    sets = [
        item
        for table in tables
        for item in _sets_of(table, counts[table.oid], models.get(table.oid), active)
    ]
    return Embeddings(
        active_model=active.id if active else None,
        active_dimension=active.dimension if active else None,
        is_model_missing=active is None and settings_were_read,
        sets=tuple(sets),
    )


def _sets_of(
    table: EmbeddingTable, whole: Count, models: ModelCounts | None, active: ActiveModel | None
) -> Iterator[EmbeddingSet]:
    if whole.rows == 0:
        return
    parts = models or {None: whole}
    for model, count in sorted(parts.items(), key=lambda part: -(part[1].rows or 0)):
        yield EmbeddingSet(
            media=table.media,
            dimension=table.dimension,
            model=model,
            table=table.name,
            count=count,
            state=_state(table, model, active),
        )


def _state(table: EmbeddingTable, model: str | None, active: ActiveModel | None) -> EmbeddingState:
    if table.is_legacy:
        return EmbeddingState.LEGACY
    if active is None or model is None:
        return EmbeddingState.UNKNOWN
    if active.is_kept_in(table) and model in active.names_in(table):
        return EmbeddingState.ACTIVE
    return EmbeddingState.STALE


def counted_models(oids: Iterable[int], answers: Answers) -> dict[int, ModelCounts]:
    """Exact rows by model of the tables that were counted so."""
    return {
        oid: {model: Count(rows) for model, rows in answers.get(row_source(oid), {}).items()}
        for oid in oids
    }


def estimated_models(
    tables: Iterable[EmbeddingTable],
    counts: Mapping[int, Count],
    shares: Mapping[tuple[str, str], Mapping[str, float]],
) -> dict[int, ModelCounts]:
    """Estimated rows by model: the model's share at the last ANALYZE."""
    models: dict[int, ModelCounts] = {}
    for table in tables:
        rows = counts[table.oid].rows
        if rows is not None:
            models[table.oid] = {
                model: Count(round(rows * share), exact=False)
                for model, share in shares.get((table.schema, table.name), {}).items()
            }
    return models
