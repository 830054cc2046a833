"""The program: its commands, and what is wrong with a command line that names none of them."""

from __future__ import annotations

import io
import re
import sys
from typing import Annotated

import typer

from aperture_db import __version__
from aperture_db.cli import check_extensions, migrate, stats
from aperture_db.cli.run import CommonOptions, Run
from aperture_db.errors import UsageError

EPILOG = "The database is named by DATABASE_URL; every other way: aperture-db COMMAND --help."

app = typer.Typer(
    help="Look after the PostgreSQL database of Aperture.",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aperture-db {__version__}")
        raise typer.Exit


@app.callback()
def program(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Look after the PostgreSQL database of Aperture."""


for module in (stats, check_extensions, migrate):
    module.register(app)


def run_program(arguments: list[str]) -> int:
    """Run one command line and return the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A title must not end the run because the terminal's encoding lacks a letter.
            stream.reconfigure(errors="replace")
    try:
        code = app(arguments or ["--help"], prog_name="aperture-db", standalone_mode=False)
    except typer.TyperException as error:
        return _report_usage(error, arguments)
    except typer.Abort:
        return 130
    return int(code or 0)


def _report_usage(error: typer.TyperException, arguments: list[str]) -> int:
    """Errors of the command line itself, in the same three lines and the same JSON object."""
    from aperture_db.render.envelope import render_envelope

    known = {info.name for info in app.registered_commands}
    command = next((word for word in arguments if word in known), "")
    usage = UsageError(
        # A connection string in the wrong place must not be echoed: it has the password.
        re.sub(r"(\w+://)\S+", r"\1…", error.format_message()).rstrip("."),
        why="the command line can't be understood as given",
        next_step=" ".join(filter(None, ["aperture-db", command, "--help"])),
    )
    as_json = "--json" in arguments
    Run(command, CommonOptions(json=as_json)).print_error(usage)
    if as_json:
        print(render_envelope(command, None, [], usage, ok=False))  # noqa: T201
    return usage.exit_code
