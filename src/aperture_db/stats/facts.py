"""Which database it is, and how far its migrations are."""

from __future__ import annotations

from aperture_db import aperture
from aperture_db.postgres.catalog import Database
from aperture_db.stats.inventory import Inventory
from aperture_db.stats.questions import Answers
from aperture_db.stats.report import DatabaseFacts


def state_facts(database: Database, inventory: Inventory, answers: Answers) -> DatabaseFacts:
    """`answers` have the recorded migrations, where they could be read."""
    newest, applied = next(iter(answers.get("migrations", {}).items()), (None, None))
    return DatabaseFacts(
        name=database.name,
        role=database.role,
        server_version=database.server_version.split()[0],
        is_standby=database.is_standby,
        read_at=database.read_at,
        is_aperture=aperture.is_aperture(inventory.visible),
        migrations_applied=applied,
        newest_migration=newest,
    )
