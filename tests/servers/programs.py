"""Programs that only some machines have."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from aperture_db.postgres.embedded import server_programs

NO_MOUNTS = "this machine forbids to mount"
"""The only reason for which CI, too, skips a test: no package changes it. What such tests show is
also shown without a mount, as far as that goes."""
TEST_SERVER = "APERTURE_DB_TEST_SERVER"
INSTALLED_SERVERS = "APERTURE_DB_TEST_SERVERS"
SERVER_PROGRAMS = ("initdb", "pg_ctl", "postgres")
SYSTEM_DIRECTORIES = ("/usr/sbin", "/usr/local/sbin")


def server_under_test() -> Path:
    """The directory of the programs that the tests' main servers run: bin/ of the installation
    that APERTURE_DB_TEST_SERVER names, else the embedded server's."""
    installation = os.environ.get(TEST_SERVER)
    if not installation:
        return server_programs()
    programs = Path(installation).absolute() / "bin"
    missing = [name for name in SERVER_PROGRAMS if not os.access(programs / name, os.X_OK)]
    if missing:
        raise pytest.UsageError(
            f"{TEST_SERVER} must name the directory of a PostgreSQL installation: "
            f"{programs} has no {', '.join(missing)}"
        )
    return programs


def prefer_clients_under_test() -> None:
    """Let the program find the clients of the server under test first, as it would beside it: a
    dump by those of the embedded server can't be restored into 16."""
    if not os.environ.get(TEST_SERVER):
        return
    programs, path = str(server_under_test()), os.environ["PATH"]
    if not path.startswith(programs):
        os.environ["PATH"] = os.pathsep.join([programs, path])


def installed_server(name: str) -> Path | None:
    """The programs of a server that tests/servers/install.py has put into the directory that
    APERTURE_DB_TEST_SERVERS names; None where it has not."""
    directory = os.environ.get(INSTALLED_SERVERS)
    programs = Path(directory or os.devnull).absolute() / name / "bin"
    return programs if programs.is_dir() else None


def require(program: str, package: str) -> Path:
    """The program's path; without it the test is skipped (and CI fails, as on every skip)."""
    path = shutil.which(program, path=os.pathsep.join([os.defpath, *SYSTEM_DIRECTORIES]))
    path = shutil.which(program) or path
    if path is None:
        pytest.skip(f"{program} is not installed (Debian package {package})")
    return Path(path)


def require_directory(path: Path, package: str) -> Path:
    """The directory itself; the test is skipped where it is missing."""
    if not path.is_dir():
        pytest.skip(f"{path} does not exist (package {package})")
    return path
