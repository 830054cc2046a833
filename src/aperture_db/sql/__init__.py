"""The queries: one file per room, each query opened by its name, its purpose and the privilege
that it needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def load(name: str) -> str:
    """The text of one query: `load("purge/truncate")` is `-- name: truncate` in purge.sql."""
    room, _, query = name.partition("/")
    return _read(room)[query]


@cache
def _read(room: str) -> Mapping[str, str]:
    """The queries of one file by their names."""
    text = resources.files(__name__).joinpath(f"{room}.sql").read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: query.strip() for name, query in zip(parts[::2], parts[1::2], strict=True)}
