"""A migration that was released is never edited: databases that have applied it would differ."""

from __future__ import annotations

from hashlib import sha256

from tests.conftest import MIGRATIONS
from tests.migrations.structure import FROZEN_FILE


def test_released_migrations_are_unchanged() -> None:
    frozen = dict(line.split()[::-1] for line in FROZEN_FILE.read_text().splitlines())
    # test_structure fails where one is missing here.
    found = {name: sha256((MIGRATIONS / name).read_bytes()).hexdigest() for name in frozen}
    assert found == frozen
