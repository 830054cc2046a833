"""The program: its commands, and the usage errors of the command line."""

from __future__ import annotations

import io
import os
import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from typer.core import TyperCommand

from aperture_db import __version__
from aperture_db.cli.command import EXIT_CODE_OUTPUT_CLOSED, PlainGroup, exit_code_for, report
from aperture_db.cli.run import CommonOptions, Run
from aperture_db.errors import UsageError
from aperture_db.format import parse_seconds

if TYPE_CHECKING:
    from typer._click.core import Command, Context
    from typer._click.formatting import HelpFormatter

PROGRAM = "aperture-db"
COMPLETION_VARIABLE = "_APERTURE_DB_COMPLETE"
# The shared options, as far as they may stand before the command.
FLAGS = ("--json", "--quiet", "--verbose")
OPTIONS_WITH_VALUE = (
    "-d", "--database-url", "--env-file", "--connect-timeout", "--wait", "--color",
)  # fmt: skip
EPILOG = """Examples:
aperture-db stats -d postgresql://user:password@localhost:5432/aperture
aperture-db health
aperture-db COMMAND --help"""
DEFAULT_INTERVAL = "5s"


class CommandEntry(NamedTuple):
    """One command of the program, known without importing it."""

    module: str
    """It has the Typer instance `app`."""
    panel: str
    """Of the program's help."""
    summary: str
    """The first sentence of the command's help."""


COMMANDS = {
    "stats": CommandEntry(
        "aperture_db.cli.stats", "Inspect", "Show library counts, storage and what is missing."
    ),
    "health": CommandEntry(
        "aperture_db.cli.health", "Inspect", "Check the database and suggest fixes."
    ),
    "report": CommandEntry(
        "aperture_db.cli.report",
        "Inspect",
        "Write an HTML page about the database, fit to attach to a bug report.",
    ),
    "check-extensions": CommandEntry(
        "aperture_db.cli.check_extensions", "Inspect", "Check the extensions that Aperture needs."
    ),
    "psql": CommandEntry(
        "aperture_db.cli.psql", "Inspect", "Open psql on the configured database."
    ),
    "migrate": CommandEntry("aperture_db.cli.migrate", "Maintain", "Apply pending migrations."),
    "vacuum": CommandEntry(
        "aperture_db.cli.vacuum",
        "Maintain",
        "Remove dead rows and update the planner's statistics.",
    ),
    "clean": CommandEntry(
        "aperture_db.cli.clean",
        "Maintain",
        "List data that can be deleted safely, and delete it.",
    ),
    "backup": CommandEntry(
        "aperture_db.cli.backup", "Protect", "Back up the database and verify the backup."
    ),
    "relink": CommandEntry(
        "aperture_db.cli.relink",
        "Protect",
        "Put back what users made, after a purge and the next sync.",
    ),
    "restore": CommandEntry(
        "aperture_db.cli.restore", "Danger", "Replace the database's contents with a dump."
    ),
    "purge": CommandEntry(
        "aperture_db.cli.purge", "Danger", "Delete a part of Aperture's data, or all of it."
    ),
    "demo": CommandEntry("aperture_db.cli.demo", "Try", "Try the tool on a sample library."),
}


class Program(PlainGroup):
    """The commands of aperture-db: imports only the module of the one that is called, and none
    for its own help."""

    _is_listing = False

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002
        """In the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002
        """The command, built from its module; for the group's help, its summary only."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, help=entry.summary, rich_help_panel=entry.panel)
        command = typer.main.get_command(import_module(entry.module).app)
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """The command, or an error with the names that are alike, which Typer takes from here."""
        self.commands = {name: TyperCommand(name) for name in COMMANDS}
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the help of the group."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


app = typer.Typer(
    cls=Program,
    help="Administer Aperture's PostgreSQL database.",
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
    """Administer Aperture's PostgreSQL database."""


def run_program(arguments: list[str]) -> int:
    """Run one command line and return the exit code."""
    _switch_off_forced_colour_in_help()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A title must not end the run because the terminal's encoding lacks a letter.
            stream.reconfigure(errors="replace")
    words = in_usual_order(spell_out_interval(arguments)) if arguments else ["--help"]
    try:
        code = app(words, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        return _report_usage(error, arguments)
    except typer.Abort:
        return 130
    except SystemExit as end:
        # Of completion, with its own exit code, or of rich, where whoever read the help has gone.
        completes = not end.code or COMPLETION_VARIABLE in os.environ
        return int(end.code or 0) if completes else EXIT_CODE_OUTPUT_CLOSED
    return int(code or 0)


def spell_out_interval(arguments: list[str]) -> list[str]:
    """Add the default interval to a bare `--watch`: Typer has no options with optional values."""
    spelled: list[str] = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=False):
        alone = word == "--watch" and not _is_duration(following)
        spelled.append(f"--watch={DEFAULT_INTERVAL}" if alone else word)
    return spelled


def _is_duration(word: str) -> bool:
    try:
        parse_seconds(word)
    except ValueError:
        return False
    return True


def in_usual_order(arguments: list[str]) -> list[str]:
    """The command first, then the shared options that stand before it, as in `-q stats`.

    `help COMMAND` and `version` become the options that do the same.
    """
    rest = arguments
    moved: list[str] = []
    while rest and (length := _shared_option_length(rest)):
        moved, rest = [*moved, *rest[:length]], rest[length:]
    match rest:
        case ["help", *words]:
            return [*words, "--help"]
        case ["version"]:
            return ["--version"]
        case [name, subcommand, *_] if _is_group(name) and not subcommand.startswith("-"):
            return [*rest[:2], *moved, *rest[2:]]
        case [name, *_] if not name.startswith("-"):
            return [name, *moved, *rest[1:]]
        case []:
            return []
        case _:
            return arguments


def _shared_option_length(words: list[str]) -> int:
    """How many words at the start are one shared option; 0 if none."""
    name, equals, _ = words[0].partition("=")
    if words[0] in FLAGS or (equals and name in OPTIONS_WITH_VALUE):
        return 1
    if re.fullmatch(r"-[qv]+|-d.+", words[0]):
        return 1
    return 2 if words[0] in OPTIONS_WITH_VALUE else 0


def _is_group(name: str) -> bool:
    return name in COMMANDS and isinstance(import_module(COMMANDS[name].module).app.info.name, str)


def _switch_off_forced_colour_in_help() -> None:
    """Typer and rich take any value of FORCE_COLOR for a yes; 0 means no."""
    if os.environ.get("FORCE_COLOR") == "0":
        del os.environ["FORCE_COLOR"]


def _report_usage(error: typer.TyperException, arguments: list[str]) -> int:
    """Errors of the command line itself, in the same three lines and the same JSON object."""
    context = getattr(error, "ctx", None)
    named = next((word for word in arguments if word in COMMANDS), "")
    if named:
        # It may have exit codes of its own.
        import_module(COMMANDS[named].module)
    path = context.command_path if context else f"{PROGRAM} {named}".strip()
    message = _plain(_without_connection_strings(error.format_message(), arguments))
    next_step = f"{path} --help"
    if named == "psql" and message.startswith("No such option"):
        next_step = "put psql's own options after --, as in: aperture-db psql -- -c 'SELECT 1'"
    usage = UsageError(
        message,
        why="the command line is not valid",
        next_step=next_step,
    )
    run = Run(path.removeprefix(PROGRAM).strip(), CommonOptions(json=_wants_json(arguments)))
    return report(run, usage, exit_code_for(run.command, usage))


def _plain(message: str) -> str:
    """Without the breaks and tabs between choices, and in words for people."""
    return re.sub(r"a valid (int|float)( range)?\b", "a number", " ".join(message.split())).rstrip(
        "."
    )


def _wants_json(arguments: list[str]) -> bool:
    """--json, or health's --format json, which is the same."""
    named = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(
        word in ("--json", "--format=json") or (word, following) == ("--format", "json")
        for word, following in named
    )


def _without_connection_strings(message: str, arguments: list[str]) -> str:
    """Typer quotes unexpected words; a connection string among them may contain a password."""
    for word in arguments:
        if "://" in word or "password" in word.lower():
            message = message.replace(repr(word)[1:-1], "…").replace(word, "…")
    return re.sub(r"(\w+://).*", r"\1…", message, flags=re.DOTALL)
