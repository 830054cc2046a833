"""`aperture-db backup`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError

with lazy_imports():
    from aperture_db import aperture
    from aperture_db.backup import create, directory, settings
    from aperture_db.backup import report as results
    from aperture_db.dumps import contents, programs
    from aperture_db.render import backup as view

INSTEAD = "Instead of making a backup"

app = typer.Typer(add_completion=False)


@command(
    app,
    "backup",
    is_scheduled_work=lambda options: not (options["list_"] or options["verify"]),
    examples=[
        "aperture-db backup --keep 14",
        "aperture-db backup --list",
        "aperture-db backup --verify aperture_backup_2026-01-31_03-30-00.dump",
    ],
)
def backup(
    run: Run,
    list_: Annotated[
        bool,
        typer.Option("--list", rich_help_panel=INSTEAD, help="List the backups."),
    ] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="FILE",
            rich_help_panel=INSTEAD,
            help="Verify that a dump is complete. Needs no database.",
        ),
    ] = None,
    directory_option: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Directory for backups (default: the directory in Aperture's settings, else "
            "/backups).",
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Keep the newest N backups of this tool (default: the number in Aperture's "
            "settings).",
        ),
    ] = None,
    compress: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD[:LEVEL]",
            help="zstd, gzip, lz4 or none (default: zstd:3 where the installed pg_dump has it, "
            "else gzip).",
        ),
    ] = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for a locked table."
        ),
    ] = "60s",  # type: ignore[assignment]
) -> None:
    """Back up the database and verify the backup.

    The backup is verified before it is named; older ones are pruned after that. Aperture's own
    page lists it. It contains all of Aperture's keys: keep it as safe as those.
    """
    if list_ and verify:
        raise UsageError(
            "--list and --verify cannot be combined",
            why="each of them replaces making a backup",
            next_step="choose one of them",
        )
    if verify:
        _verify(run, verify, directory_option)
    elif list_:
        _list(run, directory_option)
    else:
        _make(run, directory_option, keep, _parse_compression(compress), lock_timeout)


def _parse_compression(text: str | None) -> programs.Compression | None:
    if text is None:
        return None
    try:
        return programs.parse_compression(text)
    except ValueError as error:
        raise UsageError(
            f"--compress {text} is not possible",
            why=str(error),
            next_step="choose another, for example --compress zstd:3",
        ) from error


def _make(
    run: Run,
    option: Path | None,
    keep: int | None,
    compression: programs.Compression | None,
    lock_timeout_seconds: float,
) -> None:
    run.interrupted_note = "no backup was made; earlier ones were not changed"
    with run.connect() as conn:
        configured = settings.read_settings(conn)
        retention = configured.retention_count if configured else aperture.DEFAULT_BACKUP_RETENTION
        events = create.make_backup(
            run.target,
            conn,
            directory.choose_directory(option, configured),
            keep=keep or retention,
            compression=compression,
            lock_timeout_seconds=lock_timeout_seconds,
        )
        with run.reporter() as reporter, closing(events):
            for event in reporter.report(events):
                match event:
                    case results.BackupMade(made):
                        run.interrupted_note = f"{made.path} was made and is complete"
                    case results.BackupFinished(result):
                        report = result
    run.show(report, view.render_backup)


def _list(run: Run, option: Path | None) -> None:
    configured = None
    if option is None:
        with run.connect(read_only=True) as conn:
            configured = settings.read_settings(conn)
    chosen = directory.choose_directory(option, configured)
    run.show(directory.list_backups(chosen), view.render_list)


def _verify(run: Run, path: Path, option: Path | None) -> None:
    found = directory.locate(path, directory.choose_directory(option, None))
    run.show(read_restorable_dump(run, found), view.render_contents)


def read_restorable_dump(run: Run, path: Path) -> contents.DumpContents:
    """Read a dump to its end, with progress. Raises as `read_contents` and `require_restorable`
    do."""
    with run.reporter() as reporter:
        reporter.step(f"reading {path.name}")
        for event in reporter.report(contents.read_contents(path.absolute())):
            dump = event.contents
    contents.require_restorable(dump)
    return dump
