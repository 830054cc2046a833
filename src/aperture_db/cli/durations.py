"""Times in options, with units: 90, 90s, 1.5h."""

from __future__ import annotations

from math import ceil

import typer

from aperture_db.format import parse_seconds

# libpq takes 1 for 2 as well.
SHORTEST_CONNECT_SECONDS = 2


def parse_duration(value: str | float) -> float:
    """Seconds, of a text or of a default. Raises typer.BadParameter."""
    try:
        return parse_seconds(str(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def parse_connect_timeout(value: str | float) -> int:
    """Whole seconds, as libpq takes them."""
    seconds = parse_duration(value)
    if seconds < SHORTEST_CONNECT_SECONDS:
        raise typer.BadParameter(f"{value} is less than {SHORTEST_CONNECT_SECONDS} s")
    return ceil(seconds)
