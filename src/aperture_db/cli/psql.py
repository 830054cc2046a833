"""`aperture-db psql`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Annotated, Never

import typer

from aperture_db.cli.command import command
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import Run
from aperture_db.errors import ClientProgramError, UsageError
from aperture_db.format import shell_command

with lazy_imports():
    from aperture_db.dumps import programs

app = typer.Typer(add_completion=False)


@command(
    app,
    "psql",
    examples=[
        "aperture-db psql",
        "aperture-db psql -- -c 'SELECT count(*) FROM movies'",
        "aperture-db psql -- --csv -f report.sql",
    ],
)
def psql(
    run: Run,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", show_default=False, help="Arguments of psql."),
    ] = None,
) -> int:
    """Open psql on the configured database.

    The psql of the server's version is used. It gets the password through its environment, never
    as an argument. The exit code is psql's.
    """
    if run.options.json:
        raise UsageError(
            "psql can't be combined with --json",
            why="psql prints the results itself",
            next_step=shell_command("aperture-db", "psql", "--", "--csv", *(arguments or ())),
        )
    with run.connect(read_only=True) as conn:
        path = programs.psql_for_server(conn.info.server_version)
        with programs.libpq_environment(conn) as (connection_variables, inherited):
            conn.close()
            run.detail(f"psql: {path}")
            for descriptor in inherited:
                os.set_inheritable(descriptor, True)
            words = [str(path), *(arguments or ())]
            _become(words, _environment(os.environ, connection_variables))


def _environment(
    environ: Mapping[str, str], connection_variables: Mapping[str, str]
) -> dict[str, str]:
    """The caller's variables (terminal, pager, PSQLRC) with libpq's replaced by ours."""
    kept = {name: value for name, value in environ.items() if not name.startswith("PG")}
    ours = {name: value for name, value in connection_variables.items() if name.startswith("PG")}
    return kept | ours


def _become(words: list[str], environment: Mapping[str, str]) -> Never:
    """Replace this process, so that the terminal and every signal are psql's."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python ignores SIGPIPE, and psql would inherit that.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(words[0], words, environment)  # noqa: S606
    except OSError as error:
        raise ClientProgramError(
            f"can't start {words[0]}",
            why=error.strerror or str(error),
            next_step="install it again, or remove it so that another one is found",
        ) from error
