"""Makes one dump that is known to be complete when it gets its name."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aperture_db.backup.directory import PartialFile, now, partial_file
from aperture_db.backup.failures import describe_dump_failure, incomplete
from aperture_db.backup.snapshot import Snapshot, open_snapshot
from aperture_db.dumps import seal
from aperture_db.dumps.children import running
from aperture_db.dumps.contents import ContentsRead, DumpContents, read_contents
from aperture_db.dumps.environment import connection_arguments, libpq_environment
from aperture_db.dumps.failures import BrokenDumpError
from aperture_db.dumps.files import Purpose
from aperture_db.dumps.programs import ClientPrograms, programs_for_server
from aperture_db.errors import UsageError
from aperture_db.postgres.connection import Connection, require_session
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Progress

LOCK_TIMEOUT_SECONDS = 60.0
# pg_dump --verbose names each table as it comes to its rows.
TABLE_LINE = re.compile(r'pg_dump: dumping contents of table "(?:.*\.)?(.+)"')
NARRATION = re.compile(
    r"pg_dump: (?!error|detail|hint|warning|fatal)|pg_dump: warning: there are circular"
)


@dataclass(frozen=True)
class Backup:
    """A dump that has been read back and found whole."""

    path: Path
    made_at: datetime
    size_bytes: int
    table_count: int
    row_count: int
    last_migration: str | None
    server_version: str
    pg_dump_version: str
    duration_seconds: float


@dataclass(frozen=True)
class BackupMade:
    """The dump has its name."""

    backup: Backup


def create(
    target: Target,
    conn: Connection,
    directory: Path,
    *,
    purpose: Purpose = Purpose.BACKUP,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> Generator[Event | BackupMade, None, None]:
    """Dump the database of `conn` into `directory`; the last event is BackupMade.

    `conn` must be idle; it holds the snapshot that pg_dump reads, so that the rows of the dump
    can be compared with the database's. Needs SELECT on every table and takes ACCESS SHARE
    locks. A failure leaves nothing under the final name: ClientProgramError without a fitting
    pg_dump, BusyError where a lock is not obtained, else ApertureDbError.
    """
    started = time.monotonic()
    require_session(conn, target, "a backup")
    programs = programs_for_server(conn.info.server_version)
    made_at = now()
    with partial_file(directory) as partial:
        yield Phase("counting rows")
        with open_snapshot(conn, target, lock_timeout_seconds) as snapshot:
            yield Phase(f"backing up to {directory}")
            yield from _dump(target, conn, programs, partial, snapshot, lock_timeout_seconds)
        yield Phase("reading the backup back")
        seal.write_seal(partial.path)
        contents = yield from _read_back(partial.path, snapshot.row_counts)
        size_bytes = partial.path.stat().st_size
        path = partial.publish(purpose, made_at)
    assert contents.row_count is not None
    yield BackupMade(
        Backup(
            path=path,
            made_at=made_at.replace(microsecond=0),
            size_bytes=size_bytes,
            table_count=len(contents.tables),
            row_count=contents.row_count,
            last_migration=contents.last_migration,
            server_version=contents.dumped_from,
            pg_dump_version=contents.dumped_by,
            duration_seconds=time.monotonic() - started,
        )
    )


def _dump(
    target: Target,
    conn: Connection,
    programs: ClientPrograms,
    partial: PartialFile,
    snapshot: Snapshot,
    lock_timeout_seconds: float,
) -> Iterator[Event]:
    command: list[str | Path] = [
        programs.pg_dump,
        "--format=custom",
        "--compress=6",
        "--no-owner",
        "--no-acl",
        "--verbose",
        f"--snapshot={snapshot.id}",
        f"--lock-wait-timeout={lock_timeout_seconds * 1000:.0f}",
        f"--file={partial.path}",
        *connection_arguments(conn),
    ]
    total = len(snapshot.row_counts)
    done = 0
    with (
        libpq_environment(conn) as environment,
        running(command, environment, inherited=[partial.descriptor]) as child,
    ):
        for line in child.lines():
            if found := TABLE_LINE.match(line):
                yield Progress(f"dumping {found[1]}", done, total)
                done += 1
            elif not NARRATION.match(line):
                child.keep(line)
        if child.wait() != 0:
            raise describe_dump_failure(child, target, partial.path.parent)


def _read_back(
    path: Path, row_counts: Mapping[tuple[str, str], int]
) -> Generator[Event, None, DumpContents]:
    """Read the dump whole and compare its rows with those of the database."""
    contents = None
    try:
        for event in read_contents(path):
            if isinstance(event, ContentsRead):
                contents = event.contents
            else:
                yield event
    except (BrokenDumpError, UsageError) as error:
        raise incomplete(error.why) from error
    assert contents is not None
    dumped = {(table.schema, table.name): table.row_count for table in contents.tables}
    for key, row_count in row_counts.items():
        if dumped.get(key) != row_count:
            name = ".".join(key)
            raise incomplete(
                f"{name} has {row_count:,} rows and the dump holds {dumped.get(key) or 0:,}"
            )
    return contents
