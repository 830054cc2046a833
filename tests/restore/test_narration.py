"""What a restore and a backup say while they work, at a terminal and off it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aperture_db.render import progress
from aperture_db.render.restore import render_report
from aperture_db.restore.report import RestoreReport
from tests.backup.stand_ins import stand_in
from tests.dump_files import PHRASE, PLACES, make_dump
from tests.program import run_inside
from tests.snapshot import rendered
from tests.terminal import run_at_terminal

NewDatabase = Callable[[], str]
PHASES = ["Counting rows", "Backing up to", "Verifying the backup", "Safety backup: "]


def test_a_line_for_each_phase_off_a_terminal(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=conninfo)
    lines = outcome.err.splitlines()
    first = next(number for number, line in enumerate(lines) if line == PHASES[0])
    told = [*PHASES, f"Restoring {dump.name}", "Comparing", "Gathering statistics"]
    for line, phase in zip(lines[first:], told, strict=True):
        assert line.startswith(phase)
    assert "\x1b" not in outcome.err


def test_a_bar_at_a_terminal(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    path = stand_in(tmp_path / "bin", '"$REAL" "$@"; code=$?; sleep 0.5; exit $code')
    backups = tmp_path / "backups"
    backups.mkdir()
    variables: dict[str, Any] = PLACES | {"PATH": path}
    code, shown = run_at_terminal("backup", "--dir", str(backups), conninfo=conninfo, **variables)
    assert code == 0, shown
    assert re.search(r"dumping watch_history.*79/80", shown)
    assert "with 80 tables and 151 rows" in shown


def test_a_heartbeat_off_a_terminal(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long silence would look like a hang in a log."""
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setenv("PATH", stand_in(tmp_path / "bin", '"$REAL" "$@"; sleep 1'))
    backups = tmp_path / "backups"
    backups.mkdir()
    outcome = run_inside("backup", "--dir", str(backups), database=aperture_database())
    assert outcome.code == 0, outcome.err
    assert re.search(r"… dumping watch_history, .* so far", outcome.err)


def test_quiet(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, "-q", database=conninfo)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize("form", ["undoable", "not undoable", "behind", "with findings"])
def test_the_report(form: str, snapshot: Callable[[str, str], None]) -> None:
    saved = Path("/backups/aperture_before_restore_2026-03-10_12-00-00.dump")
    report = RestoreReport(
        path=Path("/backups/aperture_backup_2026-03-09_02-00-00.dump"),
        table_count=80,
        row_count=412_345,
        last_migration="0090_x.sql" if form == "behind" else "0114_y.sql",
        previous_migration="0114_y.sql",
        is_behind=form == "behind",
        safety_backup=None if form == "not undoable" else saved,
        undo_command=None if form == "not undoable" else f"aperture-db restore {saved}",
        duration_seconds=75.2,
        findings=("vector cannot be reached: ALTER DATABASE x SET search_path = public, y;",)
        if form == "with findings"
        else (),
    )
    snapshot(f"restore/{form.replace(' ', '_')}", rendered(render_report(report)))
