"""A migration that was released is never edited: databases that have applied it would differ.

A new file gets its line in frozen.sha256 with: (cd migrations && sha256sum *.sql).
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from tests.conftest import MIGRATIONS

FROZEN = Path(__file__).with_name("frozen.sha256")


def test_released_migrations_are_unchanged() -> None:
    frozen = dict(line.split()[::-1] for line in FROZEN.read_text().splitlines())
    found = {file.name: sha256(file.read_bytes()).hexdigest() for file in MIGRATIONS.glob("*.sql")}
    assert found == frozen
