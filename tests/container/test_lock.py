"""The image installs only what its lock files name, by hash."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {
    "requirements.txt": PROJECT["project"]["dependencies"],
    "build-requirements.txt": PROJECT["build-system"]["requires"],
}
PINNED = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?P<rest>(?:.*\\\n)+.*)", re.MULTILINE
)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_fits_the_project(lock: str) -> None:
    """When this fails: make lock."""
    text = (ROOT / "docker" / lock).read_text()
    pins = {found["name"]: found for found in PINNED.finditer(text)}
    assert text.count("==") >= len(pins) > 0
    for found in pins.values():
        assert "--hash=sha256:" in found["rest"], found["name"]
    for line in LOCKS[lock]:
        wanted = Requirement(line)
        assert wanted.name in pins, "make lock"
        assert wanted.specifier.contains(pins[wanted.name]["version"]), "make lock"


def test_nothing_is_installed_without_hashes() -> None:
    script = (ROOT / "docker" / "install_tool.sh").read_text().replace("\\\n", " ")
    for line in script.splitlines():
        if "pip" in line and " install " in line and not line.startswith("#"):
            assert "--require-hashes" in line or "--no-index" in line, line


def test_the_unit_of_the_backup_is_as_confined_as_that_of_health() -> None:
    """Except for its account: Docker's socket is open to root and its group only."""

    def confinement(name: str) -> set[str]:
        text = (ROOT / "examples" / "systemd" / f"aperture-db-{name}.service").read_text()
        _, _, service = text.partition("[Service]")
        settings = {line for line in service.splitlines() if re.match(r"[A-Z]\w+=", line)}
        others = ("ExecStart", "Environment", "LoadCredential", "SuccessExit", "TimeoutStart")
        return {line for line in settings if not line.startswith(others)}

    only_health = confinement("health") - confinement("backup")
    assert only_health == {
        "DynamicUser=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    }
