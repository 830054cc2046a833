"""Replaces the database's contents with a dump, in one transaction that is compared with the dump
before it commits."""

from __future__ import annotations

from enum import StrEnum


class OtherTables(StrEnum):
    """The user's decision about tables that may be a newer Aperture's or another application's."""

    KEEP = "keep"
    DROP = "drop"
