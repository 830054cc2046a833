"""The tree of errors.

Every error carries three sentences: what happened, why, and what to do next. The command line
prints them as three lines, `--json` as one object; the class decides the exit code.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import ClassVar


class ApertureDbError(Exception):
    """Something failed; nothing else is known about the kind of failure.

    `code` is a stable word for scripts (`error.code` in JSON). `details` are further lines
    worth reading, such as a list of sessions or the position inside a file. A line break in any of
    the texts is somebody else's, and is shown as one: several steps are several strings.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "failed"

    def __init__(
        self,
        what: str,
        *,
        why: str,
        next_step: str | Iterable[str],
        code: str | None = None,
        details: tuple[str, ...] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next_steps = (next_step,) if isinstance(next_step, str) else tuple(next_step)
        self.code = code or self.default_code
        self.details = details

    @property
    def next_step(self) -> str:
        """All steps, one per line."""
        return "\n".join(self.next_steps)


class UsageError(ApertureDbError):
    """The command line, a setting or an input file can't be used as given."""

    exit_code = 2
    default_code = "usage"


class ConnectError(ApertureDbError):
    """There is no usable connection to the database.

    `transient` says that the same attempt may succeed later, so `--wait` retries it.
    """

    exit_code = 3
    default_code = "cannot_connect"

    def __init__(
        self,
        what: str,
        *,
        why: str,
        next_step: str | Iterable[str],
        code: str | None = None,
        transient: bool = False,
    ) -> None:
        super().__init__(what, why=why, next_step=next_step, code=code)
        self.transient = transient


class NotConfirmedError(ApertureDbError):
    """A destructive command was not confirmed; nothing changed."""

    exit_code = 4
    default_code = "not_confirmed"


class FindingError(ApertureDbError):
    """A check found what it looks for: pending migrations, a missing extension."""

    exit_code = 5
    default_code = "finding"


class BusyError(ApertureDbError):
    """A lock was not obtained in time; `details` name who holds it."""

    exit_code = 6
    default_code = "busy"


class ClientProgramError(ApertureDbError):
    """A PostgreSQL client program is missing or older than the server."""

    exit_code = 7
    default_code = "client_program"


# Of a process that may open no further file, or of a system that starts no further process.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


def lack_of_resources(what: str, error: OSError) -> ApertureDbError | None:
    """The error for an account or system at its limits; None for every other cause. `what` could
    not be done."""
    if error.errno not in EXHAUSTED:
        return None
    return ApertureDbError(
        what,
        why=error.strerror or str(error),
        next_step="raise the limits of this account (ulimit -n, ulimit -u), then run again",
        code="no_resources",
    )


def file_failure(error: OSError) -> ApertureDbError:
    """The error for a file or directory that the system refuses to read or write, where no command
    has a better one."""
    reason = error.strerror or str(error)
    next_step = "check the disk and its file system: dmesg, df -h"
    if error.errno == errno.ENAMETOOLONG:
        next_step = "choose a shorter name; most file systems take up to 255 bytes"
    name = f"the file {error.filename}" if isinstance(error.filename, str) else "a file"
    return ApertureDbError(
        f"{name} could not be read or written",
        why=reason,
        next_step=next_step,
        code="file_failure",
    )
