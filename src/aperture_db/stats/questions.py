"""Everything that has to be counted, put into one statement.

A question is a SELECT of (source, detail, rows). Only questions whose tables and columns are there
and may be read are asked, so an answer that is missing means that it can't be known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from psycopg import sql

from aperture_db import sql as queries
from aperture_db.aperture import ActiveModel, EmbeddingTable, Media
from aperture_db.postgres.catalog import Table
from aperture_db.postgres.connection import Connection
from aperture_db.stats.inventory import Inventory

Answers: TypeAlias = Mapping[str, Mapping[str | None, int]]
"""Rows by source and detail."""

MEDIA_TABLES = {Media.MOVIE: "movies", Media.SERIES: "series", Media.EPISODE: "episodes"}


def ask(conn: Connection, questions: Iterable[sql.Composed]) -> Answers:
    """Count everything in one round trip and from one snapshot."""
    answers: dict[str, dict[str | None, int]] = {}
    asked = list(questions)
    if asked:
        for source, detail, rows in conn.execute(sql.SQL("\nUNION ALL\n").join(asked)):
            answers.setdefault(source, {})[detail] = rows
    return answers


def row_questions(
    tables: Iterable[Table], by_model: Collection[int] = ()
) -> Iterator[sql.Composed]:
    """The rows of whole tables, and per model of the tables with an oid in `by_model`; the source
    is `row_source` of the oid."""
    for table in tables:
        if table.oid in by_model:
            yield _query(
                "embeddings_by_model", source=row_source(table.oid), table=table.identifier
            )
            continue
        yield _query("count_rows", source=row_source(table.oid), table=table.identifier)


def row_source(oid: int) -> str:
    return f"oid:{oid}"


def migration_questions(inventory: Inventory) -> Iterator[sql.Composed]:
    """The number of recorded migrations; the detail is the newest one."""
    if inventory.has_columns("aperture_migrations", "name"):
        yield _query("migrations")


def detail_questions(inventory: Inventory) -> Iterator[sql.Composed]:
    """What the overview says beside whole tables."""
    if inventory.has_columns("users", "is_enabled"):
        yield _query("users_enabled")
    if inventory.has_columns("users", "provider") and inventory.has_columns("system_settings"):
        yield _query("users_of_media_server")
    if inventory.has_columns("recommendation_runs") and inventory.has_columns(
        "recommendation_candidates", "is_selected"
    ):
        keys = ["user_id"]
        if inventory.has_columns("recommendation_runs", "media_type"):
            keys.append("media_type")
        run_of = sql.SQL(", ").join(map(sql.Identifier, keys))
        yield _query("recommendations_shown", run_of=run_of)


def library_questions(inventory: Inventory) -> Iterator[sql.Composed]:
    """Films, series and episodes of the libraries that are synced."""
    for media, name in MEDIA_TABLES.items():
        items = _items_in_libraries(inventory, media)
        if items is not None:
            yield _query("count_items", source=f"{name}_in_libraries", items=items)


def embedding_questions(
    inventory: Inventory, tables: Iterable[EmbeddingTable], active: ActiveModel | None
) -> Iterator[sql.Composed]:
    """How many items need an embedding of the active model (`to_embed:` and the media), and how
    many have one (`embedded:`)."""
    if active is None:
        return
    for media in Media:
        kept = [table for table in tables if table.media is media and active.is_kept_in(table)]
        items = _items_to_embed(inventory, media)
        if items is None or any(table.name not in inventory.readable for table in kept):
            continue
        yield _query("count_items", source=f"to_embed:{media}", items=items)
        if kept:
            embedded = sql.SQL("\nUNION\n").join(
                _query(
                    "embedded_items",
                    item_column=sql.Identifier(table.item_column),
                    table=table.identifier,
                    models=sql.Literal(list(active.names_in(table))),
                )
                for table in kept
            )
            yield _query(
                "count_embedded_items", source=f"embedded:{media}", items=items, embedded=embedded
            )


def _items_in_libraries(inventory: Inventory, media: Media) -> sql.Composed | None:
    if not inventory.has_columns(MEDIA_TABLES[media]):
        return None
    if media is Media.EPISODE:
        series = _items_in_libraries(inventory, Media.SERIES)
        return series and _query("episodes_in_libraries", series=series)
    return _items_of_libraries(inventory, media, "in_libraries")


def _items_to_embed(inventory: Inventory, media: Media) -> sql.Composed | None:
    if not inventory.has_columns(MEDIA_TABLES[media]):
        return None
    if media is Media.EPISODE:
        return _all_items(media)
    return _items_of_libraries(inventory, media, "to_embed")


def _items_of_libraries(inventory: Inventory, media: Media, which: str) -> sql.Composed | None:
    """Everything in versions without libraries; None where libraries can't be read."""
    if "library_config" not in inventory.visible:
        return _all_items(media)
    name = MEDIA_TABLES[media]
    if not inventory.has_columns(name, "provider_library_id"):
        in_this_version = "provider_library_id" in inventory.visible[name].columns
        return None if in_this_version else _all_items(media)
    return _query(f"{name}_{which}") if "library_config" in inventory.readable else None


def _all_items(media: Media) -> sql.Composed:
    return _query("all_items", table=sql.Identifier(MEDIA_TABLES[media]))


def _query(name: str, **parts: str | sql.Composable) -> sql.Composed:
    """A query of sql/stats; text becomes a literal."""
    return sql.SQL(queries.load(f"stats/{name}")).format(**parts)
