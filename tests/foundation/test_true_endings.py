"""What a failed run says is what is now the case."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli import COMMAND, environment, finish, start_cli
from tests.dump_files import PHRASE, execute, fetch_one, read_rows
from tests.program import run_inside
from tests.proxy import Gate, proxied
from tests.waiting import wait_until

NewDatabase = Callable[[], str]
KEEP = """
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER keep BEFORE DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION keep();
"""
INSERT_AGAIN = """
    CREATE FUNCTION insert_again() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.sessions SELECT (OLD).*; RETURN NULL; END';
    CREATE TRIGGER insert_again AFTER DELETE ON sessions
        FOR EACH ROW EXECUTE FUNCTION insert_again();
"""
RULE = "CREATE RULE keep AS ON DELETE TO sessions DO INSTEAD NOTHING"
EXPIRED = "UPDATE sessions SET expires_at = now() - interval '3 days'"


@pytest.fixture
def conninfo(sample_database: NewDatabase) -> str:
    found = sample_database()
    execute(found, EXPIRED)
    assert fetch_one(found, "SELECT count(*) FROM sessions") > 0
    return found


@pytest.mark.parametrize("trick", [KEEP, INSERT_AGAIN, RULE], ids=["kept", "again", "rule"])
def test_clean_whose_rows_are_kept(trick: str, conninfo: str) -> None:
    execute(conninfo, trick)
    outcome = run_inside(
        "clean", "expired-sessions", "--apply", "--confirm", PHRASE, database=conninfo
    )
    assert outcome.code == 1, outcome.out
    assert "still in sessions" in outcome.err
    assert "pg_event_trigger" in outcome.err


def test_clean_that_fails_in_its_second_kind(conninfo: str) -> None:
    execute(conninfo, "CREATE RULE keep AS ON DELETE TO job_runs DO INSTEAD NOTHING")
    sessions = fetch_one(conninfo, "SELECT count(*) FROM sessions")
    outcome = run_inside(
        "clean", "expired-sessions", "job-history", "--keep", "1", "--apply", "--confirm", PHRASE,
        database=conninfo,
    )  # fmt: skip
    assert outcome.code == 1, outcome.out
    assert f"{sessions} row" in outcome.err
    assert "deleted from sessions" in outcome.err


def test_purge_everything_that_fails_while_it_rebuilds(conninfo: str) -> None:
    execute(
        conninfo,
        "CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE disk_full USING MESSAGE = ''could not extend file''; END'",
        "CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE INDEX') "
        "EXECUTE FUNCTION refuse()",
    )
    before = read_rows(conninfo)
    outcome = run_inside(
        "purge", "--what", "everything", "--no-backup", "--confirm", PHRASE, database=conninfo
    )
    assert outcome.code == 1
    assert "the purge failed and was rolled back, nothing was changed" in outcome.err
    assert "aperture-db migrate" not in outcome.err
    assert "free space" in outcome.err
    assert read_rows(conninfo) == before


def test_closed_stdin(conninfo: str) -> None:
    words = [*COMMAND, "purge", "--what", "ratings", "--no-backup"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *words],
        env=environment(conninfo), cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "not confirmed, nothing was changed" in done.stderr


def test_a_result_that_cannot_be_written(conninfo: str) -> None:
    words = [*COMMAND, "purge", "--what", "ratings", "--no-backup", "--confirm", PHRASE]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            words, env=environment(conninfo), cwd="/", stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "the purge is done" in done.stderr
    assert fetch_one(conninfo, "SELECT count(*) FROM user_ratings") == 0


class CommitGate(Gate):
    """Holds the COMMIT of a migration back, or the server's answer to it."""

    def admits(self, message: bytes) -> bool:
        if b"RELEASE SAVEPOINT aperture_db_guard" in message:
            self.reached.set()
            return self.passes_held
        return True


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_lost_commit_of_migrate(
    is_committed: bool, new_database: NewDatabase, tmp_path: Path
) -> None:
    database = new_database()
    (tmp_path / "0001_one.sql").write_text("CREATE TABLE one ()")
    gate = CommitGate(passes_held=is_committed)
    with proxied(database, gate) as proxy:
        process = start_cli("migrate", "--dir", str(tmp_path), conninfo=proxy.conninfo)
        assert gate.reached.wait(60)
        exists = "SELECT to_regclass('one') IS NOT NULL"
        wait_until(lambda: fetch_one(database, exists) is is_committed, "the COMMIT is done")
        proxy.cut()
        outcome = finish(process)
    assert outcome.code == 1, outcome.err
    said = "was committed" if is_committed else "was rolled back"
    assert f"the server reports that it {said}" in outcome.err
    assert fetch_one(database, exists) is is_committed
