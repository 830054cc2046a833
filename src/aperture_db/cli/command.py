"""Turns a function into a command: adds the shared options and is the one place where errors
become messages and exit codes.

SIGTERM and SIGHUP become exceptions, so that clean-up runs as it does on Ctrl-C.
"""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from aperture_db.cli.durations import parse_connect_timeout, parse_duration
from aperture_db.cli.lazy import lazy_imports
from aperture_db.cli.run import CommonOptions, Run
from aperture_db.errors import ApertureDbError, file_failure, lack_of_resources
from aperture_db.postgres.target import redact
from aperture_db.render.console import ColorMode, OutputClosedError, render_envelope
from aperture_db.render.follow_up import FOLLOW_UP_OPTIONS

with lazy_imports():
    from aperture_db.cli import ping
    from aperture_db.postgres import settings

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter

Params = ParamSpec("Params")
Body = Callable[Concatenate[Run, Params], int | None]
Values = dict[str, Any]
"""The values of a command's own options."""

CONNECTION_PANEL = "Connection"
OUTPUT_PANEL = "Output"

CONNECTION_OPTIONS: dict[str, Any] = {
    "database_url": Annotated[
        str | None,
        typer.Option(
            "--database-url", "-d", metavar="URL", rich_help_panel=CONNECTION_PANEL,
            help="Connection string (default: DATABASE_URL, DATABASE_URL_FILE, .env or PG*).",
        ),
    ],
    "env_file": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=CONNECTION_PANEL,
            help="Read DATABASE_URL from this file instead of .env.local or .env.",
        ),
    ],
    "connect_timeout": Annotated[
        int,
        typer.Option(
            parser=parse_connect_timeout, metavar="TIME", rich_help_panel=CONNECTION_PANEL,
            help="Maximum time for one attempt to connect.",
        ),
    ],
    "wait": Annotated[
        float,
        typer.Option(
            parser=parse_duration, metavar="TIME", rich_help_panel=CONNECTION_PANEL,
            help="Keep trying to connect for this time while the server starts.",
        ),
    ],
}  # fmt: skip
OUTPUT_OPTIONS: dict[str, Any] = {
    "json": Annotated[
        bool, typer.Option("--json", rich_help_panel=OUTPUT_PANEL, help="Print one JSON object.")
    ],
    "quiet": Annotated[
        bool,
        typer.Option(
            "--quiet", "-q", rich_help_panel=OUTPUT_PANEL, help="Print findings and errors only."
        ),
    ],
    "verbose": Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, metavar="", show_default=False,
            rich_help_panel=OUTPUT_PANEL, help="Print more details; -vv adds tracebacks.",
        ),
    ],
    "color": Annotated[
        ColorMode, typer.Option(rich_help_panel=OUTPUT_PANEL, help="When to use color.")
    ],
}  # fmt: skip
PING_VARIABLE = "APERTURE_DB_PING_URL"
PING_OPTIONS: dict[str, Any] = {
    "ping": Annotated[
        str | None,
        typer.Option(
            metavar="URL", rich_help_panel=OUTPUT_PANEL,
            help="Ping URL/start, then URL or URL/fail, as healthchecks.io expects it (default: "
            f"{PING_VARIABLE}).",
        ),
    ],
}  # fmt: skip
EXIT_CODE_RULES: dict[str, Callable[[ApertureDbError], int]] = {}
"""By the command's full name, for those that have a rule of their own."""
DEFAULTS = {field.name: field.default for field in fields(CommonOptions)} | {"ping": None}


class PlainCommand(TyperCommand):
    """Typer would write <bool> beside every flag."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The command's options and --help."""
        return _without_types_of_flags(super().get_params(ctx))


class PlainGroup(TyperGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """The group's own options and --help."""
        return _without_types_of_flags(super().get_params(ctx))


def _without_types_of_flags(params: Iterable[Parameter]) -> list[Parameter]:
    params = list(params)
    for param in params:
        if isinstance(param, TyperOption) and param.is_flag and param.metavar is None:
            param.metavar = ""
    return params


def command(
    app: typer.Typer,
    name: str,
    *,
    connects: bool = True,
    examples: Sequence[str] = (),
    exit_code_of_error: Callable[[ApertureDbError], int] | None = None,
    is_scheduled_work: Callable[[Values], bool] | None = None,
) -> Callable[[Body[Params]], Body[Params]]:
    """Register a function as the command `name` of `app`; its docstring is the help.

    The function gets a Run and its own options, and returns an exit code or None for 0. The help
    ends with the `examples`, each a command line of at most 78 characters.
    `exit_code_of_error` is for a command whose exit codes follow other rules than the errors'
    own; usage errors of the command line go through it too.
    `is_scheduled_work` is for a command that cron runs, and adds --ping: it tells from the
    command's options whether the monitor of APERTURE_DB_PING_URL waits for this run.
    """
    common = (CONNECTION_OPTIONS if connects else {}) | OUTPUT_OPTIONS
    shared = common | (PING_OPTIONS if is_scheduled_work else {})

    if exit_code_of_error:
        EXIT_CODE_RULES[_full_name(app, name)] = exit_code_of_error

    def register(body: Body[Params]) -> Body[Params]:
        def checked(run: Run, **values: Any) -> int | None:
            for key, value in values.items():
                if isinstance(value, Path):
                    settings.refuse_connection_string(str(value), _shown_name(body, key))
            return body(run, **values)  # type: ignore[call-arg]

        def invoke(**values: Any) -> int:
            options = CommonOptions(**{key: values.pop(key) for key in common})
            run = Run(_full_name(app, name), options)
            if is_scheduled_work is None:
                return execute(run, checked, values)
            url = values.pop("ping")
            does_work = is_scheduled_work(values)
            return _execute_monitored(run, checked, values, url, does_work=does_work)

        invoke.__doc__ = _unwrap(body.__doc__ or "")
        invoke.__signature__ = _merged_signature(body, shared)  # type: ignore[attr-defined]
        app.command(name, cls=PlainCommand, epilog=examples_epilog(examples))(invoke)
        return body

    return register


def examples_epilog(examples: Sequence[str]) -> str | None:
    """The examples, a line each. Typer takes square brackets for markup."""
    return "\n".join(["Examples:", *examples]).replace("[", r"\[") if examples else None


def _unwrap(docstring: str) -> str:
    """One line a paragraph: Typer would keep the source's line breaks."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _full_name(app: typer.Typer, name: str) -> str:
    """`demo stop` for the command stop of the group demo."""
    group = app.info.name
    return f"{group} {name}" if isinstance(group, str) else name


def _shown_name(body: Callable[..., Any], parameter: str) -> str:
    """An option or argument of a command as its help shows it."""
    (info, *_) = get_type_hints(body, include_extras=True)[parameter].__metadata__
    # In an annotation, Typer takes the first word for the default at first.
    words = (str(word) for word in (info.default, *(info.param_decls or ())))
    spelled = next((word for word in words if word.startswith("--")), None)
    if isinstance(info, typer.models.ArgumentInfo):
        return info.metavar or parameter.upper()
    return spelled or f"--{parameter.replace('_', '-')}"


def _merged_signature(body: Callable[..., Any], shared: dict[str, Any]) -> inspect.Signature:
    """The function's own options, then the shared ones; Typer reads its options from here."""
    hints = get_type_hints(body, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in list(inspect.signature(body).parameters.items())[1:]
    ]
    added = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=annotation
        )
        for name, annotation in shared.items()
    ]
    return inspect.Signature([*own, *added])


def _execute_monitored(
    run: Run, body: Callable[..., int | None], values: Values, url: str | None, *, does_work: bool
) -> int:
    """Run a command's function, and ping its monitor before and after that, where it has one."""
    # By hand, a run that only shows something must not tell the monitor that the work was done.
    url = url or (os.environ.get(PING_VARIABLE) if does_work else None)
    if not url:
        return execute(run, body, values)
    try:
        monitor = ping.Monitor(url)
    except ApertureDbError as error:
        return report(run, error, exit_code_for(run.command, error))
    with suppress(OutputClosedError):
        if warning := monitor.start():
            run.warn(warning)
    code = execute(run, body, values)
    with suppress(OutputClosedError):
        if warning := monitor.finish(code, run.summarize()):
            run.warn(warning)
    return code


def execute(run: Run, body: Callable[..., int | None], values: dict[str, Any]) -> int:
    """Run a command's function, and turn every failure into its message and exit code."""
    error: ApertureDbError | None = None
    try:
        with raising_on_termination():
            code = body(run, **values) or 0
    except ApertureDbError as failure:
        error, code = failure, exit_code_for(run.command, failure)
    except KeyboardInterrupt as interrupt:
        code = exit_code_of(interrupt)
        error = _interrupted(run.interrupted_note)
    except OutputClosedError:
        return EXIT_CODE_OUTPUT_CLOSED
    except OSError as failure:
        error = lack_of_resources("the work broke off", failure) or file_failure(failure)
        error.__cause__ = failure
        code = exit_code_for(run.command, error)
    except Exception as failure:
        error = _unexpected(run, failure)
        code = exit_code_for(run.command, error)
    try:
        return report(run, error, code)
    finally:
        FOLLOW_UP_OPTIONS.use(())


def exit_code_for(command_name: str, error: ApertureDbError) -> int:
    """The exit code of an error: its class's, or by the command's own rule."""
    rule = EXIT_CODE_RULES.get(command_name)
    return rule(error) if rule else error.exit_code


def report(run: Run, error: ApertureDbError | None, code: int) -> int:
    """Print the error and the JSON object; return the exit code, 1 where the output failed."""
    if error is not None:
        _hide_passwords(error)
    run.error = error
    try:
        text = None
        if run.options.json:
            text, error, code = _envelope(run, error, code)
        if error and error.code == "interrupted":
            run.err.print_prose(f"{error.what}: {error.why}")
        elif error:
            run.print_error(error)
        if text is not None:
            run.print_raw(text)
    except OutputClosedError:
        return EXIT_CODE_OUTPUT_CLOSED
    except ApertureDbError as failure:
        run.print_error(failure)
        return code or exit_code_for(run.command, failure)
    return code


def _hide_passwords(error: ApertureDbError) -> None:
    """Of connection strings that stood where something else belongs, in a variable for example."""
    error.what, error.why = redact(error.what, ""), redact(error.why, "")
    error.details = tuple(redact(line, "") for line in error.details)
    error.next_steps = tuple(redact(step, "") for step in error.next_steps)


def _envelope(
    run: Run, error: ApertureDbError | None, code: int
) -> tuple[str, ApertureDbError | None, int]:
    """The JSON object, with an error where the result can't be written as JSON."""
    render = partial(
        render_envelope,
        run.command,
        warnings=run.warnings,
        ascii_only=not run.out.encoding.startswith("utf"),
    )
    try:
        text = render(run.data, error=error, ok=code == 0)
    except (TypeError, ValueError) as failure:
        error = error or _unexpected(run, failure)
        code = code or exit_code_for(run.command, error)
        text = render(None, error=error, ok=False)
    return text, error, code


def _interrupted(note: str) -> ApertureDbError:
    return ApertureDbError(
        "interrupted", why=note, next_step="run the command again", code="interrupted"
    )


def _unexpected(run: Run, failure: Exception) -> ApertureDbError:
    """The error for a bug of this tool. Driver errors are translated by the connection."""
    error = ApertureDbError(
        "aperture-db failed unexpectedly",
        why=run.redact(f"{type(failure).__name__}: {failure}"),
        next_step="run again with -vv and report the output",
        code="unexpected",
    )
    error.__cause__ = failure
    return error


# As a shell reports a program that SIGPIPE ended; `aperture-db … | head -1` is no failure of ours.
EXIT_CODE_OUTPUT_CLOSED = 128 + signal.SIGPIPE


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end.

    A KeyboardInterrupt, because psycopg cancels the running statement on exactly that.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.exit_code = 128 + signal_number


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
    if isinstance(interrupt, Terminated):
        return interrupt.exit_code
    return 128 + signal.SIGINT


@contextmanager
def raising_on_termination() -> Iterator[None]:
    """Raise Terminated in the main thread on SIGTERM or SIGHUP during the block.

    A second signal finds the first one's clean-up at work and is ignored.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for handled in previous:
            signal.signal(handled, signal.SIG_IGN)
        raise Terminated(number)

    previous = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGHUP)
        # nohup starts the process with SIGHUP ignored, and that stays so.
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in previous:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
