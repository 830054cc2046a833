"""The rows of the tables, a module per subject; each has a function `tables`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Row: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class TableRows:
    """Rows for COPY. Every row has the same columns in the same order; others take defaults."""

    table: str
    rows: Iterable[Row]


def exact(number: float, digits: int) -> Decimal:
    """For columns of type numeric."""
    return Decimal(f"{number:.{digits}f}")
