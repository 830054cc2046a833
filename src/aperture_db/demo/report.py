"""Results of the demo's commands: where it is, what it holds, and how to connect to it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aperture_db.postgres.target import Target
from aperture_db.stats.report import StatsReport

URL_VARIABLE, FILE_VARIABLE = "DATABASE_URL", "DATABASE_URL_FILE"


class Origin(StrEnum):
    """How the demo came to run."""

    CREATED = "created"
    STARTED = "started"
    FOUND_RUNNING = "running"


@dataclass(frozen=True)
class Ready:
    """The demo is running."""

    origin: Origin
    target: Target
    url_file: Path
    directory: Path


@dataclass(frozen=True)
class Stopped:
    was_running: bool
    directory: Path


@dataclass(frozen=True)
class Removed:
    existed: bool
    """There was a demo, or at least the programs of its server."""
    directory: Path
    """The state directory, which is deleted too when nothing else is in it."""


@dataclass(frozen=True)
class DemoReport:
    origin: Origin
    host: str
    port: int
    database: str
    user: str
    url_file: Path
    """Holds the connection string, password included."""
    directory: Path
    """Holds everything of the demo; a reset deletes it."""
    shell_commands: tuple[str, ...]
    """Commands that make a shell use the demo's database; empty where it does already."""
    stats: StatsReport


def make_report(ready: Ready, stats: StatsReport, environ: Mapping[str, str]) -> DemoReport:
    target = ready.target
    return DemoReport(
        origin=ready.origin,
        host=target.host,
        port=int(target.port),
        database=target.database,
        user=target.user,
        url_file=ready.url_file,
        directory=ready.directory,
        shell_commands=tuple(_shell_commands(ready.url_file, environ)),
        stats=stats,
    )


def _shell_commands(url_file: Path, environ: Mapping[str, str]) -> list[str]:
    commands = []
    if environ.get(URL_VARIABLE):
        commands.append(f"unset {URL_VARIABLE}")
    if environ.get(FILE_VARIABLE) != str(url_file):
        commands.append(f"export {FILE_VARIABLE}={shlex.quote(str(url_file))}")
    return commands
