"""The command line: modes, streams, JSON and signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import psycopg
import pytest

from aperture_db.cli.app import spell_out_interval
from aperture_db.stats import report
from aperture_db.stats.history import Growth, History, Sample
from tests.cli import COMMAND, environment, finish, run_cli, start_cli
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.stats.conftest import OpenPlain
from tests.stats.rows import add_movies, set_setting, use_model
from tests.terminal import open_terminal
from tests.waiting import wait_until

SECRET = "sk-sentinel-4711"
COUNT_KEYS = {"rows", "exact", "unknown"}


def test_stats_as_a_process(sample_database: Callable[[], str]) -> None:
    outcome = run_cli("stats", conninfo=sample_database())
    assert (outcome.code, outcome.err) == (0, "")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["movies", "60"] in lines
    assert ["Library"] in lines
    assert "\x1b" not in outcome.out


def test_json(sample_database: Callable[[], str]) -> None:
    outcome = run_inside("stats", "--json", database=sample_database())
    assert (outcome.code, outcome.err) == (0, "")
    envelope = outcome.envelope
    assert list(envelope) == ["schema_version", "command", "ok", "data", "warnings", "error"]
    assert (envelope["command"], envelope["ok"], envelope["error"]) == ("stats", True, None)
    data = envelope["data"]
    assert set(data) == {field.name for field in fields(report.StatsReport)}
    assert set(data["overview"]) == {field.name for field in fields(report.Overview)}
    assert set(data["storage"]) == {field.name for field in fields(report.Storage)}
    for count in data["overview"].values():
        assert set(count) == COUNT_KEYS
        assert isinstance(count["rows"], int)
        assert count["exact"] is True
    assert data["overview"]["movies"]["rows"] == 60
    assert data["database"]["read_at"].endswith("Z")
    for item in data["embeddings"]["sets"]:
        assert set(item) == {"media", "dimension", "model", "table", "count", "state"}
    for hint in data["hints"]:
        assert set(hint) == {"id", "is_finding", "message", "cause", "next"}


def test_json_of_tables_and_estimates(sample_database: Callable[[], str]) -> None:
    conninfo = sample_database()
    data = run_inside("stats", "--tables", "--json", database=conninfo).envelope["data"]
    assert set(data) == {"database", "tables", "total", "hints", "is_exact"}
    assert set(data["tables"][0]) == {
        "schema", "name", "group", "count", "heap_bytes", "index_bytes", "toast_bytes",
        "total_bytes", "dead_rows",
    }  # fmt: skip
    assert data["total"]["tables"] == len(data["tables"])
    run_inside("stats", "--estimate", "--json", database=conninfo)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("ANALYZE")
    data = run_inside("stats", "--estimate", "--json", database=conninfo).envelope["data"]
    assert data["overview"]["movies"] == {"rows": 60, "exact": False, "unknown": None}
    assert data["is_exact"] is False
    text = run_inside("stats", "--estimate", database=conninfo).out
    assert ["movies", "~60"] in [line.split() for line in text.splitlines()]


def test_every_field_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    section = text.partition("## stats\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`([a-z_]+)`", section))
    for described in (
        report.StatsReport, report.DatabaseFacts, report.Overview, report.Count, report.Storage,
        report.Embeddings, report.EmbeddingSet, report.Coverage, report.Hint, report.TablesReport,
        report.TableStats, report.TableTotals, Sample, Growth, History,
    ):  # fmt: skip
        missing = {field.name for field in fields(described)} - documented
        assert not missing, described.__name__
    assert {reason.value for reason in report.Unknown} <= documented
    assert {state.value for state in report.EmbeddingState} <= documented


def test_empty_database(new_database: Callable[[], str]) -> None:
    outcome = run_inside("stats", database=new_database())
    assert outcome.code == 0
    assert "this is not Aperture's database yet" in outcome.out
    assert "next: aperture-db migrate" in outcome.out


def test_quiet_prints_findings_only(
    sample_database: Callable[[], str], aperture_database: Callable[[], str], writer: OpenPlain
) -> None:
    sample = sample_database()
    outcome = run_inside("stats", "-q", database=sample)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("hint: ")
    assert "Library" not in outcome.out
    assert " \n" not in outcome.out
    # Daily from cron, where hints would be a mail every day.
    outcome = run_inside("stats", "--record", "-q", database=sample)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    conninfo = aperture_database()
    admin = writer(conninfo)
    add_movies(admin, 1)
    use_model(admin, "openai", "text-embedding-3-large")
    admin.execute(
        "INSERT INTO embeddings_3072 (movie_id, model, embedding) SELECT id, "
        "'openai:text-embedding-3-large', array_fill(0.5::real, ARRAY[3072])::vector FROM movies"
    )
    # What is only unknown is no finding.
    assert "never_synced" in run_inside("stats", "--json", database=conninfo).out
    assert run_inside("stats", "-q", database=conninfo).out == ""
    assert run_inside("stats", "--tables", "-q", database=conninfo).out == ""


def test_no_secret_is_printed(aperture_database: Callable[[], str], writer: OpenPlain) -> None:
    conninfo = aperture_database()
    admin = writer(conninfo)
    config = {"embeddings": {"provider": "openai", "model": "m", "apiKey": SECRET}}
    set_setting(admin, "ai_config", json.dumps(config))
    set_setting(admin, "openai_api_key", SECRET)
    for arguments in ([], ["--json"], ["--tables", "--json"], ["--estimate"], ["-vv"]):
        outcome = run_inside("stats", *arguments, database=conninfo)
        assert outcome.code == 0
        assert SECRET not in outcome.out + outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--watch", "--json"],
        ["--watch", "-q"],
        ["--watch", "2", "--record"],
        ["--watch=2", "--history"],
        ["--history", "--tables"],
        ["--history", "--estimate"],
        ["--history", "--record"],
        ["--record", "--tables"],
    ],
)
def test_options_that_do_not_go_together(arguments: list[str]) -> None:
    outcome = run_inside("stats", *arguments, database="postgresql://nobody@localhost:1/none")
    assert outcome.code == 2
    assert "can't be combined with" in outcome.err
    assert "next:  " in outcome.err


@pytest.mark.parametrize(
    ("given", "spelled"),
    [
        (["stats", "--watch"], ["stats", "--watch=5s"]),
        (["stats", "--watch", "3"], ["stats", "--watch", "3"]),
        (["stats", "--watch", "500ms"], ["stats", "--watch", "500ms"]),
        (["stats", "--watch", "--tables"], ["stats", "--watch=5s", "--tables"]),
        (["stats", "--watch=2"], ["stats", "--watch=2"]),
        (["stats"], ["stats"]),
    ],
)
def test_interval_may_be_left_out(given: list[str], spelled: list[str]) -> None:
    assert spell_out_interval(given) == spelled


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_watch_off_a_terminal(
    number: signal.Signals, code: int, sample_database: Callable[[], str]
) -> None:
    process = start_cli("stats", "--watch", "0.1", conninfo=sample_database())
    assert process.stdout is not None
    shown: list[str] = []
    while sum(line.startswith("Library") for line in shown) < 3:
        shown.append(process.stdout.readline())
        assert process.poll() is None or shown[-1], "".join(shown)
    process.send_signal(number)
    outcome = finish(process)
    assert outcome.code == code
    assert outcome.err == ""
    assert "\x1b" not in "".join(shown)
    assert " \n" not in "".join(shown)


def test_watch_at_a_terminal(sample_database: Callable[[], str], writer: OpenPlain) -> None:
    conninfo = sample_database()
    screen, terminal = open_terminal()
    process = subprocess.Popen(
        [*COMMAND, "stats", "--watch", "0.1"],
        env=environment(conninfo, TERM="xterm-256color", LINES="20", COLUMNS="80"),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown: list[str] = []

    def has_shown(text: str) -> bool:
        shown.append(os.read(screen, 65536).decode(errors="replace"))
        return text in "".join(shown)

    wait_until(lambda: has_shown("more than fit here"), "the first view")
    add_movies(writer(conninfo), 5)
    wait_until(lambda: has_shown("+5 since the start"), "a view with the change")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    os.close(screen)
    text = "".join(shown)
    assert "\x1b[?1049h" in text, "the alternate screen"
    assert "Traceback" not in text


def test_role_that_may_only_read(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = sample_database()
    for rights in ("read", "none"):
        role = limited_role(conninfo, rights)
        for arguments in ([], ["--tables"], ["--estimate"], ["--history"]):
            assert run_inside("stats", *arguments, database=role).code == 0
    denied = run_inside("stats", database=role).out
    assert "no privilege" in denied
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA" in denied
