"""Small sets of migrations, and directories that other accounts can enter."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def one_migration(tmp_path: Path) -> dict[str, str]:
    """Variables that make `migrate` apply one file, which creates the table `things`."""
    return migrations(tmp_path, "CREATE TABLE things (id int);")


@pytest.fixture
def failing_migration(tmp_path: Path) -> dict[str, str]:
    """Variables that make `migrate` fail in its second file."""
    return migrations(tmp_path, "CREATE TABLE things (id int);", "SELECT 1 / 0;")


def migrations(directory: Path, *files: str) -> dict[str, str]:
    """The variables that lead to a directory with these files."""
    for number, text in enumerate(files, start=1):
        (directory / f"{number:04}_file.sql").write_text(text)
    return {"APERTURE_MIGRATIONS_DIR": str(directory)}


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """An empty directory outside of pytest's own, which only their maker may enter."""
    with tempfile.TemporaryDirectory(prefix="aperture-db-test-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)
