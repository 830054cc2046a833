"""docs/json.md describes the JSON of every command."""

from __future__ import annotations

import re

from aperture_db.cli.app import COMMANDS
from aperture_db.demo.home import DemoReport, Removed, Stopped
from aperture_db.migrations import (
    AppliedMigration,
    DryRun,
    MarkedMigrations,
    MigrateReport,
    Migration,
    MigrationStatus,
    State,
)
from tests.described import DOCUMENT, undescribed

# psql prints what it likes.
WITHOUT_JSON = {"psql"}


def test_every_command_has_its_section() -> None:
    sections = set(re.findall(r"^## (\S+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
    assert COMMANDS.keys() - WITHOUT_JSON <= sections


def test_the_json_of_migrate_is_described() -> None:
    shapes = (
        MigrationStatus, Migration, MigrateReport, AppliedMigration, DryRun, MarkedMigrations,
    )  # fmt: skip
    assert undescribed("migrate", *shapes) == set()
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{state}`" in text for state in State)


def test_the_json_of_demo_is_described() -> None:
    assert undescribed("demo", DemoReport, Stopped, Removed) == set()
