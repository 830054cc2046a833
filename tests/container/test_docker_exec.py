"""Commands as `docker exec` runs them: no terminal, no home, an account that nobody knows, and
nothing to write to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import run_cli
from tests.conftest import MIGRATION_NAMES, MIGRATIONS
from tests.container.confinement import confined_cli, run_confined
from tests.container.processes import ENTRYPOINT
from tests.migrate.conftest import recorded
from tests.terminal import run_at_terminal


def test_nothing_can_be_written_and_nobody_is_known(public_directory: Path) -> None:
    """What the other tests stand on."""
    script = "touch /x /tmp/x 2>&1; touch $0/x && whoami; echo ${HOME-no home}"
    outcome = run_confined("sh", "-c", script, str(public_directory), writable=public_directory)
    assert outcome.out.count("Read-only file system") == 2
    assert "cannot find name for user ID 54321" in outcome.err
    assert outcome.out.endswith("no home\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["stats"],
        ["stats", "--tables"],
        ["migrate", "--status"],
        ["migrate", "--check"],
        ["check-extensions"],
        ["health", "--only", "reachable"],
        ["purge", "--what", "everything", "--dry-run"],
        ["clean"],
    ],
    ids=" ".join,
)
def test_commands_that_read_need_nothing_but_the_database(
    sample_database: Callable[[], str], public_directory: Path, arguments: list[str]
) -> None:
    outcome = confined_cli(*arguments, writable=public_directory, conninfo=sample_database())
    assert outcome.code == 0, outcome.err
    assert "warning" not in outcome.err
    assert "\x1b" not in outcome.out + outcome.err


def test_the_entry_point_migrates(new_database: Callable[[], str], public_directory: Path) -> None:
    conninfo = new_database()
    outcome = run_confined(
        *ENTRYPOINT,
        "stats",
        "--json",
        writable=public_directory,
        conninfo=conninfo,
        RUN_MIGRATIONS_ON_START="true",
    )
    assert outcome.code == 0, outcome.err
    assert len(recorded(conninfo)) == len(MIGRATION_NAMES)


def test_a_backup_needs_only_its_directory(
    sample_database: Callable[[], str], public_directory: Path
) -> None:
    script = (
        'run="$0 -m aperture_db backup"; $run --dir "$1" && $run --dir "$1" --list '
        '&& $run --verify "$1"/*.dump --quiet && ls -l "$1"'
    )
    outcome = run_confined(
        "sh",
        "-c",
        script,
        ENTRYPOINT[0],
        str(public_directory),
        writable=public_directory,
        conninfo=sample_database(),
    )
    assert outcome.code == 0, outcome.err
    assert "-rw------- 1 54321" in outcome.out


def test_a_read_only_backup_directory_is_told(
    sample_database: Callable[[], str], public_directory: Path
) -> None:
    outcome = confined_cli(
        "backup", "--dir", "/tmp", writable=public_directory, conninfo=sample_database()
    )
    assert outcome.code == 1
    assert "Read-only file system" in outcome.err or "read-only" in outcome.err


@pytest.mark.parametrize("columns", [0, 80])
def test_a_terminal_gets_whole_lines(aperture_database: Callable[[], str], columns: int) -> None:
    """`docker exec -it` opens one of 0 columns, and tells its size later."""
    code, shown = run_at_terminal(
        "stats", conninfo=aperture_database(), width=columns, NO_COLOR="1"
    )
    assert code == 0
    assert "movies" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize("columns", [None, "0", "40", "80", "wide"])
def test_off_a_terminal_the_width_does_not_matter(
    aperture_database: Callable[[], str], columns: str | None
) -> None:
    variables = {} if columns is None else {"COLUMNS": columns}
    outcome = run_cli("migrate", "--status", conninfo=aperture_database(), **variables)
    assert outcome.code == 0
    names = [path.name for path in MIGRATIONS.glob("*.sql")]
    assert all(name in outcome.out for name in names)
