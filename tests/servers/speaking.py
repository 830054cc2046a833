"""Servers that speak another language than English."""

from __future__ import annotations

import locale
import subprocess
from pathlib import Path

import pytest

from tests.servers.clusters import start_server
from tests.servers.programs import require, require_directory

LOCALES = {"de": "de_DE", "fr": "fr_FR"}


def speaking_programs(language: str) -> Path:
    """The programs of a server with messages in that language; skips where there are none.

    Debian's PostgreSQL has them, the embedded server does not.
    """
    catalogs = Path(f"/usr/share/locale/{language}/LC_MESSAGES")
    for major in (18, 17, 16, 15):
        programs = Path(f"/usr/lib/postgresql/{major}/bin")
        if programs.is_dir() and (catalogs / f"postgres-{major}.mo").exists():
            return programs
    return require_directory(Path("/usr/lib/postgresql/15/bin"), "postgresql-15")


def make_locale(language: str) -> str:
    """Make the system's locale for a language where it is missing, which needs root; skips where
    that can't be done."""
    name = LOCALES[language]
    before = locale.setlocale(locale.LC_MESSAGES)
    try:
        locale.setlocale(locale.LC_MESSAGES, f"{name}.UTF-8")
    except locale.Error:
        localedef = require("localedef", "locales")
        done = subprocess.run(
            [localedef, "-i", name, "-f", "UTF-8", f"{name}.UTF-8"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode > 1:
            pytest.skip(f"the locale {name} can't be made here (Debian package locales, as root)")
    finally:
        locale.setlocale(locale.LC_MESSAGES, before)
    return f"{name}.UTF-8"


def start_speaking_server(home: Path, language: str) -> dict[str, str]:
    """A server whose messages are in the language `de` or `fr`."""
    programs = speaking_programs(language)
    return start_server(programs, home, {"lc_messages": make_locale(language)})
