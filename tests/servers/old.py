"""Servers without pgvector, and with one that is too old."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from tests.servers.clusters import start_server
from tests.servers.programs import installed_server, require_directory


def start_postgres15(home: Path) -> dict[str, str]:
    """PostgreSQL 15, Debian 12's: pgcrypto and pg_trgm are available, pgvector is not."""
    debian = Path("/usr/lib/postgresql/15/bin")
    if not debian.is_dir() and (installed := installed_server("15-without-pgvector")):
        return start_server(installed, home)
    programs = require_directory(debian, "postgresql-15")
    if Path("/usr/share/postgresql/15/extension/vector.control").exists():
        pytest.skip("this machine's PostgreSQL 15 has pgvector (package postgresql-15-pgvector)")
    return start_server(programs, home)


def start_old_pgvector(home: Path) -> dict[str, str]:
    """PostgreSQL 16 with pgvector 0.6.2, which has no halfvec; without pgcrypto and pg_trgm."""
    package = importlib.util.find_spec("pgserver")
    if package is None and (programs := installed_server("16-with-pgvector-0.6")):
        return start_server(programs, home)
    if package is None or package.origin is None:
        pytest.skip("the package pgserver is not installed; it has builds up to Python 3.12")
    installed = Path(package.origin).parent / "pginstall"
    if os.geteuid() == 0:
        # The server's account may not be able to enter a virtualenv of root. The programs find
        # their libraries by relative paths.
        libraries = Path(package.origin).parents[1] / "pgserver.libs"
        shutil.copytree(libraries, home / "pgserver.libs")
        shutil.copytree(installed, home / "pgserver" / "pginstall")
        installed = home / "pgserver" / "pginstall"
    return start_server(installed / "bin", home)
