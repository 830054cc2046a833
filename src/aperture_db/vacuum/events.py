"""What happens during a VACUUM, as it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from aperture_db.postgres.activity import Session
from aperture_db.vacuum.report import PlannedTable, SnapshotHolder, TableResult


@dataclass(frozen=True)
class TableStarted:
    table: PlannedTable
    fraction: float
    """Of the whole run, done before it."""


@dataclass(frozen=True)
class Progress:
    """Where the work is."""

    table: str
    step: str
    fraction: float
    """Of the whole run; below 1 until the last table is done."""


@dataclass(frozen=True)
class Waiting:
    """Others hold a lock on the table."""

    table: str
    sessions: tuple[Session, ...]
    """Empty where they can't be told, such as prepared transactions."""


@dataclass(frozen=True)
class ServerNotice:
    """A warning or notice that the server gave on a table."""

    table: str
    text: str


@dataclass(frozen=True)
class LeftBehind:
    """An invalid index of an interrupted rebuild that could not be dropped."""

    index: str
    statement: str


@dataclass(frozen=True)
class TableFinished:
    result: TableResult
    snapshot_holders: tuple[SnapshotHolder, ...] = ()
    """Who keeps its remaining dead rows alive."""


Event: TypeAlias = TableStarted | Progress | Waiting | ServerNotice | LeftBehind | TableFinished
