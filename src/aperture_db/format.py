"""Numbers, sizes and times as people read and write them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_count(count: int, *, exact: bool = True) -> str:
    """12,345; an estimate is marked ~12,345."""
    return f"{count:,}" if exact else f"~{count:,}"


def format_bytes(size_bytes: int) -> str:
    """Three significant digits in powers of 1024, with PostgreSQL's unit names."""
    sign = "-" if size_bytes < 0 else ""
    size = float(abs(size_bytes))
    for unit in SIZE_UNITS:
        if size < 999.5 or unit == SIZE_UNITS[-1]:
            break
        size /= 1024
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{sign}{size:.{digits}f} {unit}"


def format_seconds(seconds: float) -> str:
    """40 ms, 7.5 s, 3 min 05 s, 2 h 10 min, 4 d 3 h."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def parse_seconds(text: str) -> float:
    """The seconds of a duration: 500ms, 5s, 30m, 2h, 1d or a bare number. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in UNIT_SECONDS:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 5s, 30m or 2h")
    return float(match[1]) * UNIT_SECONDS[match[2]]


def format_percent(share: float) -> str:
    """0.123 as 12.3 %; never 100 % for less than the whole."""
    percent = share * 100
    text = f"{percent:.1f}" if percent < 99.95 or share >= 1 else "99.9"
    return f"{text} %"


def format_time(moment: datetime) -> str:
    """UTC to the second, so that cron logs of different machines can be compared."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """1 table, 2 tables, 0 series."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"


def list_some(names: Iterable[str], most: int = 8, *, separator: str = ", ") -> str:
    """a, b, c: all of them, or the first ones and how many more."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return separator.join(every[:most]) + more


def vacuum_command(tables: Iterable[str], *options: str) -> str:
    """As a shell takes it; `tables` are named as `vacuum --table` knows them."""
    named = (word for table in tables for word in ("--table", table))
    return shlex.join(["aperture-db", "vacuum", *options, *named])


def quote_identifier(name: str) -> str:
    """`name` as SQL writes any identifier; for texts, not for statements that are run."""
    return '"' + name.replace('"', '""') + '"'
