"""The home of the demo: its files, and what its commands say of it.

That is where it is, what it holds, and how to connect to it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import shell_command
from aperture_db.new_files import replace_file
from aperture_db.postgres.embedded import (
    BIND_ADDRESS,
    MOST_STATE_BYTES,
    Cluster,
    delete_programs,
    server_programs,
    state_directory,
    unpacked_programs,
)
from aperture_db.postgres.server_account import make_enterable_directory
from aperture_db.postgres.target import Target
from aperture_db.safe_files import read_input_text
from aperture_db.stats.report import StatsReport

USER = "aperture"
DATABASE = "aperture"
PASSWORD_BYTES = 24
DELETE_TRIES, DELETE_PAUSE_SECONDS = 20, 0.1


class DemoState(StrEnum):
    """Progress of the demo's creation. The values are written to disk."""

    ABSENT = "absent"
    UNFINISHED = "unfinished"
    COMPLETE = "complete"


@dataclass(frozen=True)
class DemoHome:
    """The paths of the demo."""

    root: Path
    """The state directory; it also holds the server's programs."""

    @property
    def directory(self) -> Path:
        """Everything that a reset deletes."""
        return self.root / "demo"

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def url_file(self) -> Path:
        """The connection string, password included; only its owner may read it."""
        return self.directory / "database-url"

    @property
    def backups(self) -> Path:
        return self.directory / "backups"

    @property
    def _state_file(self) -> Path:
        """Its presence also marks the directory as the demo's, which may be deleted."""
        return self.directory / "aperture-db-demo"

    def read_state(self) -> DemoState:
        """Raises UsageError where the directory was not made by the demo."""
        if not self.directory.exists() or not any(self.directory.iterdir()):
            return DemoState.ABSENT
        try:
            return DemoState(self._state_file.read_text().strip())
        except FileNotFoundError:
            raise UsageError(
                f"{self.directory} can't be used for the demo",
                why="it exists and was not made by aperture-db demo",
                next_step="export APERTURE_DB_HOME=/path/to/another/directory",
                code="bad_home",
            ) from None
        except ValueError:
            return DemoState.UNFINISHED

    def write_state(self, state: DemoState) -> None:
        replace_file(self._state_file, f"{state}\n")

    def make_directory(self) -> None:
        make_enterable_directory(self.directory)
        self.write_state(DemoState.UNFINISHED)
        self.backups.mkdir(mode=0o700, exist_ok=True)

    def delete(self) -> None:
        """Delete the demo's directory; the state file last, for a deletion cut short."""
        if self.read_state() is DemoState.ABSENT:
            return
        self.write_state(DemoState.UNFINISHED)
        for entry in self.directory.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                _delete_tree(entry)
            elif entry != self._state_file:
                entry.unlink()
        shutil.rmtree(self.directory)

    def cluster(self, port: int = 0) -> Cluster:
        """The server; its programs are unpacked on first use."""
        return Cluster(server_programs(), self.data, port)

    def running_cluster(self) -> Cluster | None:
        """The server if it is running. Programs of any version can stop it, and need not be
        unpacked for it."""
        if self.read_state() is DemoState.ABSENT or not self.data.exists():
            return None
        programs = unpacked_programs()
        cluster = Cluster(programs[-1] if programs else server_programs(), self.data, 0)
        return cluster if cluster.is_running() else None

    def has_current_data(self) -> bool:
        """Tell whether the data directory has the programs' major version."""
        try:
            version = read_input_text(self.data / "PG_VERSION", MOST_STATE_BYTES).strip()
        except FileNotFoundError:
            return False
        return server_programs().parent.name.split(".")[0] == version

    def remove(self) -> bool:
        """Delete everything, the server's programs too; False where there was nothing.

        The state directory itself stays where something else is in it.
        """
        existed = self.directory.exists() or bool(list(self.root.glob("postgresql-*/complete")))
        self.delete()
        with suppress(OSError):
            # Empty, and not made by the demo.
            self.directory.rmdir()
        delete_programs()
        self._lock_file.unlink()
        with suppress(OSError):
            self.root.rmdir()
        return existed

    @property
    def _lock_file(self) -> Path:
        """Not in the directory that a reset deletes."""
        return self.root / "demo.lock"

    @contextmanager
    def lock(self) -> Iterator[Lock]:
        """A lock against other runs, not yet obtained; released at the end of the block."""
        lock = Lock(self._lock_file)
        try:
            yield lock
        finally:
            lock.close()


class Lock:
    """A lock on a file that another run may delete, with its directory, while it holds the lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = -1

    def try_to_obtain(self) -> bool:
        """Obtain the lock; False while another run holds it."""
        return self._obtain(fcntl.LOCK_NB)

    def wait(self) -> None:
        """Obtain the lock, after other runs."""
        self._obtain(0)

    def close(self) -> None:
        """Release the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _obtain(self, flags: int) -> bool:
        while True:
            self.close()
            make_enterable_directory(self._path.parent)
            access = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self.descriptor = os.open(self._path, access, 0o644)
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | flags)
            except BlockingIOError:
                return False
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(self.descriptor), self._path.stat()):
                    return True


def _delete_tree(path: Path) -> None:
    """Delete a directory in which a dying process may still make files."""
    for _attempt in range(DELETE_TRIES - 1):
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(DELETE_PAUSE_SECONDS)
    shutil.rmtree(path)


def find_home() -> DemoHome:
    return DemoHome(state_directory())


@contextmanager
def translated_os_errors(home: DemoHome) -> Iterator[None]:
    """Turn errors of the file system inside the block into ApertureDbError."""
    try:
        yield
    except OSError as error:
        raise ApertureDbError(
            f"{error.filename or home.directory} can't be used for the demo",
            why=str(error.strerror or error),
            next_step=f"check free space and permissions of {home.root}, or export "
            "APERTURE_DB_HOME=/path/to/another/directory",
            code="bad_home",
        ) from error


def new_password() -> str:
    """Hexadecimal, so that it needs no encoding in a URL."""
    return secrets.token_hex(PASSWORD_BYTES)


# What PG* variables for another server would otherwise ask of this one.
OWN_SETTINGS = (
    "?sslmode=disable&gssencmode=disable&channel_binding=disable&target_session_attrs=any"
)


def make_url(password: str, port: int, database: str) -> str:
    return f"postgresql://{USER}:{password}@{BIND_ADDRESS}:{port}/{database}{OWN_SETTINGS}"


def with_port(url: str, port: int) -> str:
    return re.sub(r":\d+/", f":{port}/", url)


URL_VARIABLE, FILE_VARIABLE = "DATABASE_URL", "DATABASE_URL_FILE"


class Origin(StrEnum):
    """How the demo came to run."""

    CREATED = "created"
    STARTED = "started"
    FOUND_RUNNING = "running"


@dataclass(frozen=True)
class Ready:
    """The demo is running."""

    origin: Origin
    target: Target
    url_file: Path
    directory: Path


@dataclass(frozen=True)
class Stopped:
    was_running: bool
    directory: Path


@dataclass(frozen=True)
class Removed:
    existed: bool
    """There was a demo, or at least the programs of its server."""
    directory: Path
    """The state directory, which is deleted too when nothing else is in it."""


@dataclass(frozen=True)
class DemoReport:
    origin: Origin
    host: str
    port: int
    database: str
    user: str
    url_file: Path
    """Holds the connection string, password included."""
    directory: Path
    """Holds everything of the demo; a reset deletes it."""
    shell_commands: tuple[str, ...]
    """Commands that make a shell use the demo's database; empty where it does already."""
    stats: StatsReport


def make_report(ready: Ready, stats: StatsReport, environ: Mapping[str, str]) -> DemoReport:
    target = ready.target
    return DemoReport(
        origin=ready.origin,
        host=target.host,
        port=int(target.port),
        database=target.database,
        user=target.user,
        url_file=ready.url_file,
        directory=ready.directory,
        shell_commands=tuple(_shell_commands(ready.url_file, environ)),
        stats=stats,
    )


def _shell_commands(url_file: Path, environ: Mapping[str, str]) -> list[str]:
    commands = []
    if environ.get(URL_VARIABLE):
        commands.append(f"unset {URL_VARIABLE}")
    if environ.get(FILE_VARIABLE) != str(url_file):
        commands.append(f"export {FILE_VARIABLE}={shell_command(url_file)}")
    return commands
