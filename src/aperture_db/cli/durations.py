"""Durations on the command line: 500ms, 5s, 30m, 2h, or a bare number of seconds."""

from __future__ import annotations

import re

import typer

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds. Raises typer.BadParameter."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in UNIT_SECONDS:
        raise typer.BadParameter(f"{text!r} is not a duration such as 500ms, 5s, 30m or 2h")
    return float(match[1]) * UNIT_SECONDS[match[2]]
