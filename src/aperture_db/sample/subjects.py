"""The rows of all tables, subject by subject. Parents come before what refers to them."""

from __future__ import annotations

from collections.abc import Iterator

from aperture_db.sample.rows import (
    accounts,
    assistant,
    caches,
    channels,
    content,
    discovery,
    embeddings,
    jobs,
    recommendations,
    taste,
    watching,
)
from aperture_db.sample.tables import TableRows
from aperture_db.sample.world import World

SUBJECTS = (
    accounts, content, embeddings, watching, taste, recommendations, channels, assistant,
    discovery, caches, jobs,
)  # fmt: skip


def all_tables(world: World) -> Iterator[TableRows]:
    for subject in SUBJECTS:
        yield from subject.tables(world)
