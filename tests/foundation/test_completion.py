"""What Tab completes, and command lines in another order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aperture_db.aperture.tables import TABLES
from aperture_db.clean import Kind
from aperture_db.cli.app import COMMANDS, in_usual_order
from aperture_db.health.checks import CHECKS
from aperture_db.purge import PurgeTarget
from tests.cli import run_cli


def completions(*words: str) -> list[str]:
    """What bash would offer for the last word, which is being typed."""
    done = run_cli(
        _APERTURE_DB_COMPLETE="complete_bash",
        COMP_WORDS=" ".join(("aperture-db", *words)),
        COMP_CWORD=str(len(words)),
    )
    assert (done.code, done.err) == (0, "")
    return done.out.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["m"], ["migrate"]),
        (["demo", "st"], ["start", "stop"]),
        (["stats", "--tab"], ["--tables"]),
        (["stats", "-q", "--hist"], ["--history"]),
        (["health", "--only", "wrap"], ["wraparound"]),
        (["health", "--only", "tls,wrap"], ["tls,wraparound"]),
        (["health", "--warn", "dead"], ["dead-rows="]),
        (["health", "--format", "n"], ["nagios"]),
        (["vacuum", "--table", "watch_h"], ["watch_history"]),
        (["purge", "--what", "mov"], ["movies"]),
        # Nothing of ours: the shell completes names of files.
        (["restore", ""], []),
        (["report", "--output", "x"], []),
    ],
    ids=lambda value: " ".join(value),
)
def test_completion(words: list[str], expected: list[str]) -> None:
    assert completions(*words) == expected


def test_everything_is_offered() -> None:
    assert completions("") == list(COMMANDS)
    assert completions("clean", "--apply", "") == list(Kind)
    assert completions("health", "--ignore", "") == [check.id for check in CHECKS]
    assert completions("vacuum", "--table", "") == list(TABLES)
    assert completions("purge", "--what", "") == list(PurgeTarget)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(shell: str) -> None:
    done = run_cli(_APERTURE_DB_COMPLETE=f"source_{shell}")
    assert done.code == 0
    assert "_APERTURE_DB_COMPLETE" in done.out


@pytest.mark.parametrize(
    ("given", "usual"),
    [
        ("--json stats", "stats --json"),
        ("-q -d URL stats --tables", "stats -q -d URL --tables"),
        ("-dURL --wait=3 -vv health --only tls", "health -dURL --wait=3 -vv --only tls"),
        ("--json demo stop", "demo stop --json"),
        ("--json demo", "demo --json"),
        ("-q psql -- -c x", "psql -q -- -c x"),
        ("stats -q", "stats -q"),
        ("help stats", "stats --help"),
        ("help demo stop", "demo stop --help"),
        ("help", "--help"),
        ("version", "--version"),
        ("-V", "-V"),
        ("--nonsense stats", "--nonsense stats"),
    ],
)
def test_options_may_stand_before_the_command(given: str, usual: str) -> None:
    assert in_usual_order(given.split()) == usual.split()


def test_a_run_with_its_options_first(aperture_database: Callable[[], str]) -> None:
    done = run_cli("--json", "-d", aperture_database(), "stats", "--tables")
    assert done.code == 0
    assert done.envelope["command"] == "stats"
    assert done.envelope["data"]["tables"]


def test_help_and_version_as_commands() -> None:
    assert run_cli("help", "stats").out == run_cli("stats", "--help").out
    assert run_cli("help").out == run_cli("--help").out
    assert run_cli("version").out == run_cli("--version").out


def test_options_without_a_command() -> None:
    done = run_cli("-q")
    assert done.code == 2
    assert "Missing command" in done.err
    assert "next:  aperture-db --help" in done.err


def test_options_of_psql_in_the_wrong_place() -> None:
    done = run_cli("psql", "-c", "SELECT 1")
    assert done.code == 2
    assert "next:  put psql's own options after --" in done.err
