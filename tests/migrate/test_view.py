"""How migrate's results look, from hand-made ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from rich.console import RenderableType

from aperture_db.migrations import (
    AppliedMigration,
    DryRun,
    MarkedMigrations,
    MigrateReport,
    Migration,
    MigrationStatus,
    State,
)
from aperture_db.render.migrate import (
    render_dry_run,
    render_marked,
    render_report,
    render_status,
)
from tests.snapshot import rendered

APPLIED_AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
STATUS = MigrationStatus(
    directory="bundled",
    migrations=(
        Migration("0001_init.sql", State.APPLIED, APPLIED_AT),
        Migration("0002_extensions.sql", State.PENDING, None),
        Migration("0101_continue_watching.sql", State.UNKNOWN, APPLIED_AT),
    ),
    is_tracked=True,
    has_untracked_schema=False,
)
UNTRACKED = MigrationStatus(
    directory="bundled",
    migrations=(Migration("0001_init.sql", State.PENDING, None),),
    is_tracked=False,
    has_untracked_schema=True,
)
REPORT = MigrateReport(
    applied=(AppliedMigration("0001_init.sql", 0.004), AppliedMigration("0002_x.sql", 1.5)),
    applied_elsewhere=("0003_y.sql",),
    pending=("0004_z.sql",),
    recorded_count=3,
    is_rehearsal=False,
    duration_seconds=1.6,
)
REHEARSAL = MigrateReport(
    applied=REPORT.applied,
    applied_elsewhere=(),
    pending=("0001_init.sql", "0002_x.sql"),
    recorded_count=0,
    is_rehearsal=True,
    duration_seconds=75,
)


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("status", render_status(STATUS)),
        ("untracked", render_status(UNTRACKED)),
        ("report", render_report(REPORT)),
        ("rehearsal", render_report(REHEARSAL)),
        ("dry_run", render_dry_run(DryRun(("0001_init.sql", "0002_x.sql")))),
        ("marked", render_marked(MarkedMigrations(("0001_init.sql",)))),
    ],
)
def test_each_result_looks_as_reviewed(
    name: str, view: RenderableType, snapshot: Callable[[str, str], None]
) -> None:
    snapshot(f"migrate/{name}", rendered(view))
