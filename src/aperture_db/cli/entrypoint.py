"""The container's entry point: apply migrations if configured, then run the container's command.

`python -m aperture_db.cli.entrypoint COMMAND …`. It is one process from start to end, so a signal
that stops the container reaches the running migration, and after it the command itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

import typer

from aperture_db.cli.app import run_program
from aperture_db.cli.command import execute, report
from aperture_db.cli.durations import parse_duration
from aperture_db.cli.run import CommonOptions, Run
from aperture_db.errors import ApertureDbError, UsageError

MIGRATE_VARIABLE = "RUN_MIGRATIONS_ON_START"
WAIT_VARIABLE = "APERTURE_DB_WAIT"
MIGRATION_WAIT_SECONDS = 60.0
# What a shell returns for a command that it can't start.
NOT_EXECUTABLE, NOT_FOUND = 126, 127


def main() -> None:
    """Exits with the failure of the preparation; else the command takes this process over."""
    sys.exit(prepare(os.environ) or hand_over(sys.argv[1:]))


def prepare(environ: Mapping[str, str]) -> int:
    """Wait and migrate as the variables say; returns an exit code, 0 to go on.

    A migration waits for the database: as long as APERTURE_DB_WAIT says, else 60 s. Without one
    nothing connects unless APERTURE_DB_WAIT is set, because a container from which somebody wants
    to find out why the database is down has to come up without it.
    """
    run = Run("entrypoint", CommonOptions())
    return execute(run, _prepare, {"environ": environ})


def _prepare(run: Run, environ: Mapping[str, str]) -> int:
    wait_seconds = _wait_seconds(environ)
    migrate = environ.get(MIGRATE_VARIABLE, "")
    if migrate == "true":
        wait = MIGRATION_WAIT_SECONDS if wait_seconds is None else wait_seconds
        return run_program(["migrate", "--wait", f"{wait:g}"])
    if migrate not in ("", "false"):
        run.warn(f"{MIGRATE_VARIABLE} is not exactly `true`, so no migration is applied")
    if wait_seconds is not None:
        return execute(Run("entrypoint", CommonOptions(wait=wait_seconds)), _reach_database, {})
    return 0


def _reach_database(run: Run) -> None:
    with run.connect(read_only=True):
        pass


def _wait_seconds(environ: Mapping[str, str]) -> float | None:
    text = environ.get(WAIT_VARIABLE, "")
    if not text:
        return None
    try:
        return parse_duration(text)
    except typer.BadParameter as error:
        raise UsageError(
            f"{WAIT_VARIABLE} can't be used",
            why=error.message,
            next_step=f"set it to a number of seconds: {WAIT_VARIABLE}=60",
        ) from error


def hand_over(command: Sequence[str]) -> int:
    """Become `command`; returns an exit code only where that fails.

    A word that names no program here is a command of the tool: `docker run IMAGE stats`.
    """
    if not command or ("/" not in command[0] and not shutil.which(command[0])):
        command = [sys.executable, "-m", "aperture_db", *command]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python ignores SIGPIPE, and the command would inherit that: `yes | head -1` would not end.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(command[0], [*command])  # noqa: S606
    except OSError as failure:
        error = ApertureDbError(
            f"can't start {command[0]}",
            why=failure.strerror or str(failure),
            next_step="use a program of this image, or a command of aperture-db",
        )
        is_missing = isinstance(failure, FileNotFoundError)
        return report(
            Run("entrypoint", CommonOptions()), error, NOT_FOUND if is_missing else NOT_EXECUTABLE
        )


if __name__ == "__main__":
    main()
