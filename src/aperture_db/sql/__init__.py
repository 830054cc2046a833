"""The queries, one per file, each opened by its purpose and the privilege it needs."""

from functools import cache
from importlib import resources


@cache
def load(name: str) -> str:
    """The text of `name`.sql, for example `load("catalog/tables")`."""
    file = resources.files(__name__).joinpath(*f"{name}.sql".split("/"))
    return file.read_text(encoding="utf-8")
