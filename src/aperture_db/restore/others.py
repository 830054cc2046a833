"""The user's decision about tables of unknown origin."""

from __future__ import annotations

from enum import StrEnum


class Others(StrEnum):
    """What becomes of tables that may be a newer Aperture's or somebody else's."""

    KEEP = "keep"
    DROP = "drop"
