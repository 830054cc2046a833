"""Makes backups with pg_dump: verified, recorded for Aperture, older ones pruned."""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from aperture_db.backup.directory import (
    BackupDirectory,
    choose_expired,
    disk_full,
    list_backups,
    new_backup,
    now,
    prune,
    publish,
    require_directory,
)
from aperture_db.backup.report import Backup, BackupFinished, BackupMade, BackupReport
from aperture_db.backup.settings import Snapshot, open_snapshot, record_backup
from aperture_db.dumps import BrokenDumpError, NotUnderstoodError, Purpose
from aperture_db.dumps.checksum import write_checksum
from aperture_db.dumps.children import Child, running
from aperture_db.dumps.contents import ContentsRead, DumpContents, read_open_dump
from aperture_db.dumps.programs import (
    ClientPrograms,
    Compression,
    connection_arguments,
    default_compression,
    libpq_environment,
    programs_for_server,
    server_settings,
)
from aperture_db.errors import ApertureDbError, BusyError, UsageError
from aperture_db.format import plural, shell_command
from aperture_db.new_files import PartialFile
from aperture_db.postgres.activity import UNKNOWN_OUTCOME, settle_commits
from aperture_db.postgres.connection import require_session
from aperture_db.postgres.driver_errors import (
    LOCKS_SETTING,
    out_of_locks,
    translate_query_error,
)
from aperture_db.postgres.refusals import grant_for
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Progress, Warned
from aperture_db.safe_files import HeldFile

LOCK_TIMEOUT_SECONDS = 60.0
# pg_dump --verbose names each table before it dumps the rows.
TABLE_LINE = re.compile(r'pg_dump: dumping contents of table "(?:.*\.)?(.+)"')
NARRATION = re.compile(
    r"pg_dump: (?!error|detail|hint|warning|fatal)|pg_dump: warning: there are circular"
)
SERVER_REASON = re.compile(r"Error message from server: (?:ERROR:|FATAL:)?\s*(.+)")
QUERY_REASON = re.compile(r"(?:query failed|failed): (?:ERROR:|FATAL:)\s*(.+)")


def make_backup(
    target: Target,
    conn: Connection,
    directory: BackupDirectory,
    *,
    keep: int,
    compression: Compression | None = None,
    lock_timeout_seconds: float,
) -> Generator[Event | BackupMade | BackupFinished, None, None]:
    """Make a backup, record it, and prune the backups beyond `keep`; the last event is
    BackupFinished.

    Raises as `create` does. Once the dump is made, a failure to record or prune is a warning. One
    that was not verified prunes nothing.
    """
    require_directory(directory)
    backup: Backup | None = None
    events = create(
        target,
        conn,
        directory.path,
        compression=compression,
        lock_timeout_seconds=lock_timeout_seconds,
    )
    for event in events:
        if isinstance(event, BackupMade):
            backup = event.backup
        yield event
    assert backup is not None
    is_recorded = False
    try:
        settle_commits(conn, target)
        is_recorded = record_backup(conn, backup.path, backup.size_bytes, backup.made_at)
    except (ApertureDbError, psycopg.Error) as error:
        if isinstance(error, psycopg.Error):
            error = translate_query_error(error, target, writes=True)
        shown = "Aperture's page and health show the previous one"
        if error.why == UNKNOWN_OUTCOME:
            yield Warned(f"the backup may not be recorded, and then {shown}: {error.why}")
        else:
            yield Warned(f"the backup was not recorded, so {shown}: {error.why}")
    pruned, spared = yield from _prune(directory, backup, keep)
    yield BackupFinished(BackupReport(backup, keep, pruned, spared, is_recorded))


def _prune(
    directory: BackupDirectory, backup: Backup, keep: int
) -> Generator[Event, None, tuple[tuple[Path, ...], Path | None]]:
    """Delete the backups beyond `keep`; returns their paths, and that of one that is spared."""
    pruned: list[Path] = []
    if backup.refusal is not None:
        return (), None
    if backup.last_migration is None:
        yield Warned(
            "the backup has no record of Aperture's migrations, so older backups are not deleted: "
            "check that the URL names Aperture's database"
        )
        return (), None
    retention = choose_expired(list_backups(directory).backups, keep, backup.path)
    for result in prune(directory, retention.expired):
        if isinstance(result, OSError):
            yield Warned(f"could not delete the old backup {result.filename}: {result.strerror}")
        else:
            pruned.append(result)
    if retention.spared is None:
        return tuple(pruned), None
    yield Warned(
        f"each of the newest {plural(keep, 'backup')} is much smaller than "
        f"{retention.spared.name}, which is not deleted: check that the database has its rows "
        "(aperture-db stats). If they are all there, delete it: rm "
        f"{shell_command(retention.spared.path)}"
    )
    return tuple(pruned), retention.spared.path


def create(
    target: Target,
    conn: Connection,
    directory: Path,
    *,
    purpose: Purpose = Purpose.BACKUP,
    compression: Compression | None = None,
    lock_timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
) -> Generator[Event | BackupMade, None, None]:
    """Dump the database of `conn` into `directory`; the last event is BackupMade.

    Without `compression`, zstd:3 is taken where pg_dump was built with it, else gzip.
    `conn` must be idle; it holds the snapshot that pg_dump reads, and in which the rows are
    counted. Needs SELECT on every table and takes ACCESS SHARE locks. Raises ClientProgramError
    without a suitable pg_dump, BusyError when a lock times out, else ApertureDbError; after a
    failure there is no file.
    """
    started = time.monotonic()
    require_session(conn, target, "a backup")
    programs = programs_for_server(conn.info.server_version, compression)
    compression = compression or default_compression(programs)
    command = _dump_command(programs, compression)
    made_at = now()
    with _explained(target), new_backup(directory) as partial:
        yield Phase("counting rows")
        with open_snapshot(conn, target, lock_timeout_seconds) as snapshot:
            for finding in snapshot.damaged_indexes:
                yield Warned(finding)
            yield Phase(f"backing up to {directory}")
            yield from _dump(target, conn, command, partial, snapshot, lock_timeout_seconds)
        yield Phase("verifying the backup")
        write_checksum(partial)
        refusal = None
        try:
            contents = yield from _verify(partial, snapshot.row_counts)
        except NotUnderstoodError as error:
            # pg_restore has read it to its end, so it is not damaged.
            if purpose is not Purpose.BACKUP:
                raise ApertureDbError(
                    "aperture-db restore would refuse the safety backup, so nothing was changed",
                    why=error.why,
                    next_step="make a backup with pg_dump -Fc, and run again without this one",
                ) from error
            contents, refusal = None, error.why
            yield Warned(
                f"the backup was not verified, and aperture-db restore would refuse it: {refusal}; "
                "pg_restore can read it"
            )
        size_bytes = partial.size_bytes
        path = publish(partial, purpose, made_at)
    row_counts = snapshot.row_counts.values()
    yield BackupMade(
        Backup(
            path=path,
            made_at=made_at.replace(microsecond=0),
            size_bytes=size_bytes,
            compression=str(compression),
            table_count=len(contents.tables if contents else row_counts),
            row_count=sum(row_counts),
            last_migration=contents.last_migration if contents else None,
            server_version=contents.dumped_from if contents else "",
            pg_dump_version=contents.dumped_by if contents else str(programs),
            duration_seconds=time.monotonic() - started,
            refusal=refusal,
        )
    )


@contextmanager
def _explained(target: Target) -> Iterator[None]:
    """Add to an error of the server what it means for the backups."""
    try:
        yield
    except psycopg.Error as error:
        told = translate_query_error(error, target)
        told.details += ("no backup was made; earlier ones were not changed",)
        raise told from error


def _dump_command(programs: ClientPrograms, compression: Compression) -> list[str | Path]:
    """What does not depend on the connection."""
    return [
        programs.pg_dump,
        "--format=custom",
        compression.argument_for(programs),
        "--no-owner",
        "--no-acl",
        "--verbose",
    ]


def _dump(
    target: Target,
    conn: Connection,
    command: Sequence[str | Path],
    partial: PartialFile,
    snapshot: Snapshot,
    lock_timeout_seconds: float,
) -> Iterator[Event]:
    if conn.info.parameter_status("server_encoding") != "SQL_ASCII":
        # Readable for any database, whatever the role's default. From SQL_ASCII nothing is
        # converted.
        command = [*command, "--encoding=UTF8"]
    command = [
        *command,
        f"--snapshot={snapshot.id}",
        f"--lock-wait-timeout={lock_timeout_seconds * 1000:.0f}",
        # Its stdout would do, but pg_dump only appends to that, and can't put the positions of the
        # tables into the head.
        f"--file={partial.inherited_path}",
        *connection_arguments(conn),
    ]
    total = len(snapshot.row_counts)
    done = 0
    with (
        libpq_environment(conn) as (environment, secrets),
        running(
            command,
            environment | server_settings(conn, environment),
            inherited=[partial.descriptor, *secrets],
        ) as child,
    ):
        for line in child.lines():
            if found := TABLE_LINE.match(line):
                yield Progress(f"dumping {found[1]}", done, total)
                done += 1
            elif not NARRATION.match(line):
                child.keep(line)
        if child.wait() != 0:
            raise describe_dump_failure(child, target, partial.path.parent)


def _verify(
    file: HeldFile, row_counts: Mapping[tuple[str, str], int]
) -> Generator[Event, None, DumpContents]:
    """Read the dump to its end and compare its row counts with the database's."""
    contents = None
    try:
        for event in read_open_dump(file):
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
                f"{name} has {row_count:,} rows and the dump has {dumped.get(key) or 0:,}"
            )
    return contents


def describe_dump_failure(child: Child, target: Target, directory: Path) -> ApertureDbError:
    """The error for a pg_dump that failed. Its file is deleted by the caller."""
    said = "\n".join(child.details)
    found = SERVER_REASON.search(said) or QUERY_REASON.search(said)
    reason = target.redact(found[1] if found else child.complaint)
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return disk_full(directory)
    if LOCKS_SETTING in said:
        return out_of_locks("the server ran out of locks, so no backup was made", reason)
    if "permission denied" in reason:
        return ApertureDbError(
            "permission denied for a part of the database, so a backup would be incomplete",
            why=reason,
            next_step=grant_for(reason, target),
            code="no_privilege",
        )
    if "lock timeout" in reason or "LOCK TABLE" in said:
        return BusyError(
            "timed out waiting for a lock, so no backup was made",
            why=f"pg_dump: {reason}",
            next_step="wait until the session that holds the lock ends (aperture-db health names "
            "it), then run again",
        )
    return ApertureDbError(
        "pg_dump failed, so no backup was made",
        why=reason,
        next_step="fix the cause and run again (-vv shows all messages of pg_dump); earlier "
        "backups were not changed",
        code="pg_dump_failed",
        details=tuple(target.redact(line) for line in child.details if reason not in line),
    )


def incomplete(why: str) -> ApertureDbError:
    """The error for an incomplete dump after pg_dump reported success."""
    return ApertureDbError(
        "the new backup is incomplete and was deleted",
        why=why,
        next_step="check the disk (dmesg, df -h) and run again; earlier backups were not changed",
        code="backup_incomplete",
    )
