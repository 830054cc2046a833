"""Numbers, sizes and times as people read them, where views look for them."""

from aperture_db.format import (
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    format_time,
    list_some,
    plural,
    vacuum_command,
)

__all__ = [
    "format_bytes",
    "format_count",
    "format_percent",
    "format_seconds",
    "format_time",
    "list_some",
    "plural",
    "vacuum_command",
]
