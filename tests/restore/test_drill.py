"""`restore --drill`: the newest backup is restored, compared and dropped; the database stays."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.dumps import Purpose, make_name
from aperture_db.render.restore import render_drill
from aperture_db.restore.report import DrillReport
from tests.cli import finish
from tests.conftest import apply_migrations
from tests.described import undescribed
from tests.dump_files import execute, fetch_one, make_dump, read_state, start_program
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.snapshot import rendered
from tests.waiting import wait_until

NewDatabase = Callable[[], str]
SCRATCH = re.compile(r"aperture_db_drill_\w+")
DRILLS = "SELECT file_name, failure FROM aperture_db.drills ORDER BY id"


def is_there(conninfo: str, database: str) -> bool:
    query = f"SELECT count(*) FROM pg_database WHERE datname = '{database}'"
    return bool(fetch_one(conninfo, query))


def scratch_database(text: str) -> str:
    """The name in what a drill prints. Other tests' drills run on the same server."""
    return str(SCRATCH.findall(text)[-1])


def read_drills(conninfo: str) -> list[tuple[str, str | None]]:
    with psycopg.connect(conninfo) as conn:
        return conn.execute(DRILLS.encode()).fetchall()


def health_of_drills(conninfo: str) -> dict[str, object]:
    done = run_inside("health", "--only", "restore-drill", "--json", database=conninfo)
    (check,) = done.envelope["data"]["checks"]
    return check  # type: ignore[no-any-return]


def test_the_newest_backup(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    assert health_of_drills(conninfo)["status"] == "info"
    make_dump(conninfo, tmp_path)
    newest = make_dump(conninfo, tmp_path)
    make_dump(conninfo, tmp_path, Purpose.BEFORE_PURGE)
    future = tmp_path / make_name(Purpose.BACKUP, datetime(2999, 1, 1, tzinfo=UTC))
    future.write_bytes(b"PGDMP")
    before = read_state(conninfo)

    done = run_inside("restore", "--drill", "--dir", str(tmp_path), "--json", database=conninfo)

    assert done.code == 0, done.err
    data = done.envelope["data"]
    assert data["path"] == str(newest.path)
    assert (data["table_count"], data["row_count"]) == (newest.table_count, newest.row_count)
    assert (data["is_compared_with_live"], data["differences"]) == (True, [])
    assert data["database_bytes"] > 1_000_000
    assert not is_there(conninfo, data["scratch_database"])
    assert read_drills(conninfo) == [(newest.path.name, None)]
    assert health_of_drills(conninfo)["status"] == "ok"
    rows, _ = read_state(conninfo)
    assert {name: rows[name] for name in before[0]} == before[0]
    # The tables of the record are our own, and no difference to the backup.
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), database=conninfo)
    assert done.code == 0, done.err
    assert f"{newest.path} can be restored" in done.out
    assert "The structure equals the database's." in done.out
    make_dump(conninfo, tmp_path)
    assert run_inside("stats", "--record", "-q", database=conninfo).code == 0
    done = run_inside("restore", "--drill", "-q", "--dir", str(tmp_path), database=conninfo)
    assert (done.code, done.out, done.err) == (0, "", "")
    execute(conninfo, "UPDATE aperture_db.drills SET drilled_at = now() - interval '91 days'")
    check = health_of_drills(conninfo)
    assert (check["status"], check["advice"]) == ("warning", ["aperture-db restore --drill"])


def test_what_the_backup_lacks_is_named(aperture_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = aperture_database()
    path = make_dump(conninfo, tmp_path).path
    execute(
        conninfo,
        "CREATE INDEX mine ON users (created_at)",
        "ALTER TABLE users ADD COLUMN shoe_size integer",
        "ALTER TABLE movies ALTER COLUMN title DROP NOT NULL",
    )
    done = run_inside("restore", "--drill", str(path), "--json", database=conninfo)
    assert done.code == 0, done.err
    assert done.envelope["data"]["differences"] == [
        "column public.movies.title differs",
        "column public.users.shoe_size is not in the backup",
        "index public.mine is not in the backup",
    ]
    assert len(done.envelope["warnings"]) == 3


def test_an_older_backup_is_compared_with_its_dump_only(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    older = make_dump(conninfo, tmp_path).path
    make_dump(conninfo, tmp_path)
    execute(conninfo, "CREATE INDEX mine ON users (created_at)")
    done = run_inside("restore", "--drill", str(older), "--json", database=conninfo)
    assert done.code == 0, done.err
    assert done.envelope["data"]["is_compared_with_live"] is False


def test_a_database_migrated_since(database_at: Callable[[str], str], tmp_path: Path) -> None:
    conninfo = database_at("0113")
    make_dump(conninfo, tmp_path)
    assert run_inside("migrate", database=conninfo).code == 0
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), "--json", database=conninfo)
    assert done.code == 0, done.err
    assert done.envelope["data"]["is_compared_with_live"] is False


def test_a_backup_that_cannot_be_restored(aperture_database: NewDatabase, tmp_path: Path) -> None:
    """It reads the clean copy's way: the failure is recorded, and health says so."""
    conninfo = aperture_database()
    execute(
        conninfo,
        "CREATE FUNCTION strict_check(text) RETURNS boolean LANGUAGE plpgsql AS $$ "
        "BEGIN RETURN current_database() NOT LIKE 'aperture_db_drill%'; END $$",
        "ALTER TABLE users ADD CONSTRAINT mine CHECK (public.strict_check(username))",
        "INSERT INTO users (username, provider, provider_user_id) VALUES ('a', 'emby', '1')",
    )
    path = make_dump(conninfo, tmp_path).path
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), database=conninfo)
    assert done.code == 1, done.out
    assert not is_there(conninfo, scratch_database(done.err))
    ((name, failure),) = read_drills(conninfo)
    assert name == path.name
    assert failure
    assert "could not be restored" in failure
    check = health_of_drills(conninfo)
    assert check["status"] == "warning"
    assert "could not be restored" in str(check["reason"])


def test_what_keeps_aperture_from_starting_is_named(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    execute(conninfo, "DELETE FROM recommendation_config")
    make_dump(conninfo, tmp_path)
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), "--json", database=conninfo)
    assert done.code == 0, done.err
    (finding,) = done.envelope["data"]["findings"]
    assert "recommendation_config" in finding


def test_extensions_that_the_database_s_path_reaches(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The path belongs to the database, not to the dump: the scratch database has the same."""
    conninfo = new_database()
    name = conninfo_to_dict(conninfo)["dbname"]
    execute(
        conninfo,
        "CREATE SCHEMA ext",
        f'ALTER DATABASE "{name}" SET search_path = "$user", public, ext',
        *(f"CREATE EXTENSION {each} SCHEMA ext" for each in ("vector", "pgcrypto", "pg_trgm")),
    )
    apply_migrations(conninfo)
    make_dump(conninfo, tmp_path)
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), "--json", database=conninfo)
    assert done.code == 0, done.err
    assert done.envelope["data"]["findings"] == []


def test_a_role_without_createdb(
    aperture_database: NewDatabase, limited_role: Callable[[str, Rights], str], tmp_path: Path
) -> None:
    database = aperture_database()
    conninfo = limited_role(database, "read")
    path = make_dump(database, tmp_path).path
    done = run_inside("restore", "--drill", str(path), database=conninfo)
    assert done.code == 1
    role = conninfo_to_dict(conninfo)["user"]
    assert f'ALTER ROLE "{role}" CREATEDB;' in done.err
    assert "--into URL" in done.err
    # Another server, here the same one with another login.
    done = run_inside("restore", "--drill", str(path), "--into", database, database=conninfo)
    assert done.code == 0, done.err
    assert "the drill was not recorded" in done.err


def test_the_report(snapshot: Callable[[str, str], None]) -> None:
    report = DrillReport(
        path=Path("/backups/aperture_backup_2026-03-10_02-00-00.dump"),
        made_at=datetime(2026, 3, 10, 2, 0, tzinfo=UTC),
        size_bytes=48_300_000,
        scratch_database="aperture_db_drill_0123456789ab",
        database_bytes=412_000_000,
        table_count=80,
        row_count=412_345,
        last_migration="0114_watch_history_playback_progress.sql",
        is_compared_with_live=True,
        differences=(),
        findings=(),
        restore_seconds=41.0,
        duration_seconds=44.5,
        is_recorded=True,
    )
    snapshot("restore/drill", rendered(render_drill(report)))
    differing = replace(
        report,
        differences=("index public.mine is not in the backup",),
        findings=("the row of recommendation_config is missing: INSERT INTO it;",),
    )
    snapshot("restore/drill-differs", rendered(render_drill(differing)))
    assert not undescribed("restore", DrillReport)


def test_no_backup(aperture_database: NewDatabase, tmp_path: Path) -> None:
    done = run_inside("restore", "--drill", "--dir", str(tmp_path), database=aperture_database())
    assert done.code == 1
    assert f"there is no backup in {tmp_path}" in done.err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--into", "postgresql://x@y/z", "x.dump"],
        ["--drill", "--dry-run"],
        ["--drill", "--others", "drop"],
        ["--drill", "--terminate-sessions"],
    ],
)
def test_options_that_do_not_fit(options: list[str]) -> None:
    assert run_inside("restore", *options, database="postgresql://x@[::1]:1/y").code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_the_middle(
    number: signal.Signals, sample_database: NewDatabase, tmp_path: Path
) -> None:
    """Its database is dropped, or named by the next drill."""
    conninfo = sample_database()
    make_dump(conninfo, tmp_path)
    before = read_state(conninfo)
    process = start_program("restore", "--drill", "--dir", str(tmp_path), conninfo=conninfo)
    assert process.stderr is not None
    lines = iter(process.stderr.readline, "")
    scratch = scratch_database(next(line for line in lines if SCRATCH.search(line)))
    assert is_there(conninfo, scratch)
    os.kill(process.pid, number)
    outcome = finish(process)

    assert read_state(conninfo) == before
    if number == signal.SIGTERM:
        assert outcome.code == 143
        assert not is_there(conninfo, scratch)
        return
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{scratch}'"
    wait_until(lambda: fetch_one(conninfo, sessions) == 0, "the server has ended its session")
    again = run_inside("restore", "--drill", "--dir", str(tmp_path), database=conninfo)
    assert again.code == 0, again.err
    assert f'DROP DATABASE "{scratch}";' in again.err
    execute(conninfo, f"DROP DATABASE {scratch}")
