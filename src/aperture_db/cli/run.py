"""One run of one command: its options, its streams and its connection."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aperture_db.cli.lazy import lazy_imports
from aperture_db.errors import ApertureDbError
from aperture_db.format import pasteable, shell_command, visible
from aperture_db.postgres.target import Target, redact
from aperture_db.render.console import ColorMode, make_console
from aperture_db.render.follow_up import FOLLOW_UP_OPTIONS

with lazy_imports():
    from aperture_db import new_files
    from aperture_db.postgres import activity, connection, settings
    from aperture_db.render import progress

if TYPE_CHECKING:
    from rich.console import RenderableType

    from aperture_db.aperture.schema import Location
    from aperture_db.errors import ConnectError

Report = TypeVar("Report")


# What other commands read decides about what they write, or whether something is to be written.
MAY_READ_STANDBY = ("stats", "health", "check-extensions")
# Their reports, or their refusal, say where Aperture is.
SAY_LOCATION = ("stats", "health", "report", "migrate")
# They would find nothing to work on, or make a second Aperture.
NEED_LOCATION = ("migrate", "purge", "clean", "relink", "vacuum")


@dataclass(frozen=True)
class CommonOptions:
    """The options of every command; those without a database keep the first four defaults."""

    database_url: str | None = None
    env_file: Path | None = None
    connect_timeout: int = 5
    wait: float = 0
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    color: ColorMode = ColorMode.AUTO


class Run:
    """Options, streams and connection of a command. Results go to stdout, the rest to stderr."""

    def __init__(self, command: str, options: CommonOptions) -> None:
        self.command = command
        self.options = options
        self.out = make_console(options.color, sys.stdout, os.environ)
        self.err = make_console(options.color, sys.stderr, os.environ)
        FOLLOW_UP_OPTIONS.use(())
        self.data: object = None
        self.error: ApertureDbError | None = None
        self._full_view: Callable[[], RenderableType] = str
        self.warnings: list[str] = []
        self.interrupted_note = "nothing was changed"
        """State of the work, printed when a signal ends it; the command keeps it up to date."""

    @cached_property
    def target(self) -> Target:
        """The database that the options and the environment name. Raises UsageError."""
        target = settings.resolve_target(self.options.database_url, self.options.env_file)
        if self.command not in MAY_READ_STANDBY:
            target = target.on_primary()
        FOLLOW_UP_OPTIONS.use(target.options)
        for warning in target.warnings:
            self.warnings.append(warning)
            self.say(f"warning: {warning}", style="warning")
        self.detail(f"database: {target} (from {target.source})")
        return target

    @contextmanager
    def connect(
        self, *, read_only: bool = False, target: Target | None = None
    ) -> Iterator[connection.Connection]:
        """A connection for the block, which closes it; driver errors inside become ours."""
        target = target or self.target
        try:
            with self._translated_connection(target, read_only=read_only) as conn:
                yield conn
        except ApertureDbError as error:
            activity.name_trigger(error, target)
            raise

    @contextmanager
    def _translated_connection(
        self, target: Target, *, read_only: bool
    ) -> Iterator[connection.Connection]:
        with connection.translated_errors(target, writes=not read_only):
            conn = connection.connect(
                target,
                read_only=read_only,
                connect_timeout_seconds=self.options.connect_timeout,
                wait_seconds=self.options.wait,
                on_wait=self._report_waiting,
            )
            with conn:
                # The package reads embeddings, and with them the driver: too much for --help.
                from aperture_db.aperture.schema import locate

                self._heed(locate(conn))
                yield conn

    def _heed(self, location: Location) -> None:
        """Warn of Aperture's tables in another schema or in two, or raise that."""
        trouble = location.find_trouble()
        if trouble and self.command in NEED_LOCATION and not location.is_found:
            raise trouble
        if trouble and self.command not in SAY_LOCATION:
            self.warn_of(trouble)

    def warn_of(self, error: ApertureDbError) -> None:
        """Warn, once, of what is an error for other commands."""
        warning = f"{error.what}; {error.why}. Next: {error.next_step}"
        if warning not in self.warnings:
            self.warn(warning)

    def _report_waiting(self, error: ConnectError) -> None:
        self.say(f"waiting up to {self.options.wait:g} s for the database: {error.why}")

    def show(
        self,
        report: Report,
        view: Callable[[Report], RenderableType],
        quiet_view: Callable[[Report], RenderableType] | None = None,
    ) -> None:
        """Print a result as a table, or keep it for the JSON object. `-q` prints `quiet_view`,
        which is for findings; without one it prints nothing."""
        self.keep(report, view)
        chosen = quiet_view if self.options.quiet else view
        if chosen is not None and not self.options.json:
            with self._writing_result():
                self.out.print_result(chosen(report))

    def keep(self, report: Report, view: Callable[[Report], RenderableType]) -> None:
        """Keep a result for the JSON object and for a monitor."""
        self.data = report
        self._full_view = lambda: view(report)

    def say(self, text: str, style: str | None = None) -> None:
        """Print on stderr; not with -q."""
        if not self.options.quiet:
            self.err.print_prose(text, style)

    def detail(self, text: str) -> None:
        """Print on stderr with -v only."""
        if self.options.verbose:
            self.err.print(text, style="muted", soft_wrap=True)

    def warn_of_encoding(self, conn: connection.Connection) -> None:
        """Warn of a database with another encoding than UTF8: only a new one can have it."""
        from aperture_db.aperture.schema import describe_encoding

        if problem := describe_encoding(conn):
            self.warn(
                f"{problem}; create a database with ENCODING 'UTF8' TEMPLATE template0, and "
                "restore a backup into it"
            )

    def warn(self, text: str) -> None:
        """Warn on stderr, also with -q, and in the JSON object."""
        text = self.redact(text)
        self.warnings.append(text)
        self.err.print_prose(pasteable(text), "warning", "warning: ")

    def reporter(self) -> progress.ProgressReporter:
        """Progress on stderr: animated at a real terminal, lines elsewhere, nothing with -q."""
        return progress.ProgressReporter(
            self.err,
            animated=self.err.is_interactive,
            silent=self.options.quiet,
            warn=self.warn,
        )

    def print_raw(self, text: str) -> None:
        """Print a result that is not a table, line by line as it is."""
        with self._writing_result():
            print("\n".join(map(visible, text.split("\n"))), file=self.out.file, flush=True)

    def write_file(self, path: Path, text: str, *, mode: int) -> None:
        """Replace `path` atomically: written beside it, then renamed. A symbolic link there is
        replaced, not followed. `mode` is subject to the umask. Raises ApertureDbError.
        """
        try:
            new_files.replace_file(path, text, mode)
        except OSError as error:
            raise ApertureDbError(
                f"could not write {path}",
                why=error.strerror or str(error),
                next_step="check the directory and its permissions: "
                + shell_command("ls", "-ld", path.parent),
                code="output_file",
            ) from error

    @contextmanager
    def _writing_result(self) -> Iterator[None]:
        """Raise ApertureDbError when the output can't be written, for example to a full disk."""
        try:
            yield
        except BrokenPipeError:
            self.out.on_broken_pipe()
        except OSError as error:
            raise ApertureDbError(
                "can't write the result",
                why=error.strerror or str(error),
                next_step="check the free space and permissions where stdout is written",
                code="output",
                # What a command has done is true, whether it can be printed or not.
                details=(self.interrupted_note,) if self.interrupted_note else (),
            ) from error

    def print_error(self, error: ApertureDbError) -> None:
        """The three lines, with details between; a traceback with -vv, without secrets."""
        self.err.print_prose(self._with_target(error.what), "error", "error: ")
        self.err.print_prose(error.why, mark="why:   ")
        for line in error.details:
            self.err.print(f"       {line}", soft_wrap=True)
        mark = "next:  "
        for step in error.next_steps:
            self.err.print_prose(pasteable(step), mark=mark)
            mark = " " * len(mark)
        if self.options.verbose > 1:
            self._print_traceback(error)

    def _print_traceback(self, error: ApertureDbError) -> None:
        """An exception's own text is one line, so that it looks like nothing else."""
        for part in traceback.format_exception(error):
            is_frame = part.startswith("  File ")
            for line in part.splitlines() if is_frame else [part.strip("\n")]:
                self.err.print(self.redact(line), style="muted", soft_wrap=True)

    def summarize(self) -> str:
        """The warnings, the result in full and the error as plain text, without secrets."""
        told = copy(self)
        told.options = replace(self.options, verbose=0)
        file = StringIO()
        told.out = told.err = make_console(ColorMode.NEVER, file, {})
        for warning in self.warnings:
            told.err.print_prose(f"warning: {warning}")
        told.out.print_result(self._full_view())
        if self.error is not None:
            told.print_error(self.error)
        return self.redact(file.getvalue())

    def _with_target(self, what: str) -> str:
        """Every error names the database and where its address came from."""
        target = self.__dict__.get("target")
        if target is None or str(target) in what:
            return what
        return f"{what} ({target}, from {target.source})"

    def redact(self, text: str) -> str:
        """`text` without the password, where one is known, and without those of connection
        strings."""
        target = self.__dict__.get("target")
        return target.redact(text) if target is not None else redact(text, "")
