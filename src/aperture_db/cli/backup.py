"""`aperture-db backup`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aperture_db.cli.command import command
from aperture_db.cli.options import parse_duration
from aperture_db.cli.run import Run
from aperture_db.errors import UsageError

if TYPE_CHECKING:
    from aperture_db.dumps.contents import DumpContents

INSTEAD = "Instead of making one"


app = typer.Typer(add_completion=False)


@command(app, "backup")
def backup(
    run: Run,
    list_: Annotated[
        bool,
        typer.Option("--list", rich_help_panel=INSTEAD, help="List the backups there are."),
    ] = False,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            metavar="FILE",
            rich_help_panel=INSTEAD,
            help="Read a dump to its end and say whether it is whole. Needs no database.",
        ),
    ] = None,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Where backups are; else what Aperture is set to, else /backups.",
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Keep the newest N backups of this tool; else as many as Aperture is set to.",
        ),
    ] = None,
    lock_timeout: Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", help="Wait this long for a locked table."
        ),
    ] = "60s",  # type: ignore[assignment]
) -> None:
    """Back the database up, and read the backup back.

    The file gets its name only when it is known to be whole; only then do older ones go.
    Aperture's own page lists it. It holds all of Aperture's keys: keep it as safe as those.
    """
    if list_ and verify:
        raise UsageError(
            "--list and --verify can't be combined",
            why="each of them says what to do instead of making a backup",
            next_step="choose one of them",
        )
    if verify:
        _verify(run, verify, directory)
    elif list_:
        _list(run, directory)
    else:
        _make(run, directory, keep, lock_timeout)


def _make(run: Run, option: Path | None, keep: int | None, lock_timeout_seconds: float) -> None:
    from aperture_db.backup.create import BackupMade
    from aperture_db.backup.directory import choose_directory
    from aperture_db.backup.make import Finished, make_backup
    from aperture_db.backup.settings import DEFAULT_KEEP, read_settings
    from aperture_db.render.backup import render_backup

    run.interrupted_note = "no backup was made; earlier ones are untouched"
    with run.connect() as conn:
        settings = read_settings(conn)
        directory = choose_directory(option, settings)
        keep = keep or (settings.retention_count if settings else DEFAULT_KEEP)
        events = make_backup(
            run.target, conn, directory, keep=keep, lock_timeout_seconds=lock_timeout_seconds
        )
        with run.reporter() as reporter, closing(events):
            for event in reporter.report(events):
                match event:
                    case BackupMade(backup):
                        run.interrupted_note = f"{backup.path} was made and is complete"
                    case Finished(result):
                        report = result
    run.show(report, render_backup)


def _list(run: Run, option: Path | None) -> None:
    from aperture_db.backup.directory import choose_directory
    from aperture_db.backup.listing import list_backups
    from aperture_db.backup.settings import read_settings
    from aperture_db.render.backup import render_list

    settings = None
    if option is None:
        with run.connect(read_only=True) as conn:
            settings = read_settings(conn)
    directory = choose_directory(option, settings)
    run.show(list_backups(directory), render_list)


def _verify(run: Run, path: Path, directory: Path | None) -> None:
    from aperture_db.backup.directory import choose_directory, locate
    from aperture_db.dumps.fitness import require_restorable
    from aperture_db.render.backup import render_contents

    contents = read_dump(run, locate(path, choose_directory(directory, None)))
    require_restorable(contents)
    run.show(contents, render_contents)


def read_dump(run: Run, path: Path) -> DumpContents:
    """Read a dump to its end, with progress. Raises as `read_contents` does."""
    from aperture_db.dumps.contents import read_contents

    with run.reporter() as reporter:
        reporter.step(f"reading {path.name}")
        for event in reporter.report(read_contents(path.absolute())):
            result = event
    return result.contents
