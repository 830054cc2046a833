"""A restore that ends half way, whatever ends it, leaves the database as it was."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.errors import ApertureDbError
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target
from aperture_db.restore.apply import transaction
from tests.cli import finish
from tests.dump_files import (
    PHRASE,
    execute,
    fetch_one,
    make_dump,
    opened,
    read_state,
    start_program,
)
from tests.program import run_inside
from tests.waiting import wait_until

NewDatabase = Callable[[], str]
TOOL_SESSIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = %s AND application_name = 'aperture-db'
"""
# Taking the first row, or building the index, waits as long as the role exists: for the tool only.
PAUSE = (
    """
    CREATE FUNCTION public.pause() RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        WHILE EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')
            AND current_setting('application_name') = 'aperture-db'
        LOOP
            PERFORM pg_sleep(0.05);
        END LOOP;
    END $$
    """,
    """
    CREATE FUNCTION public.slow(value integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        PERFORM public.pause();
        RETURN value;
    END $$
    """,
)
POINTS = {
    "rows": "ALTER TABLE aperture_migrations ADD CONSTRAINT slow_check CHECK (slow(id) = id)",
    "index": "CREATE INDEX slow_index ON aperture_migrations (slow(id)) WHERE id = 1",
}
QUERIES = {"rows": "COPY public.aperture_migrations%", "index": "%slow_index%"}


class Halfway:
    """A restore that has emptied the database and waits, at its first rows or at an index."""

    def __init__(
        self, admin_conninfo: str, conninfo: str, dump: Path, role: str, point: str
    ) -> None:
        self.before = read_state(conninfo)
        self.point = point
        self._admin_conninfo = admin_conninfo
        self._role = role
        self.conninfo = conninfo
        self._database = conninfo_to_dict(conninfo)["dbname"]
        self.process = start_program("restore", str(dump), "--confirm", PHRASE, conninfo=conninfo)
        wait_until(self._is_waiting, f"the restore waits at its {point}")

    def _is_waiting(self) -> bool:
        assert self.process.poll() is None, finish(self.process)
        return self._ask("count(*)") == 1

    def _ask(self, what: str) -> int:
        """Something about the sessions of the tool that are at the point."""
        with psycopg.connect(self._admin_conninfo, autocommit=True) as admin:
            row = admin.execute(
                f"SELECT {what} FROM pg_stat_activity WHERE datname = %s AND state = 'active' "
                "AND application_name = 'aperture-db' AND query LIKE %s".encode(),
                [self._database, QUERIES[self.point]],
            ).fetchone()
        assert row is not None
        return int(row[0])

    def go_on(self) -> None:
        execute(self._admin_conninfo, f"DROP ROLE IF EXISTS {self._role}")

    def end_connection(self) -> None:
        self._ask("count(pg_terminate_backend(pid))")

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def require_nothing_changed(self) -> None:
        require_gone(self.conninfo)
        assert read_state(self.conninfo) == self.before


def require_gone(conninfo: str) -> None:
    """Wait until the server has noticed that the tool is dead."""
    database = conninfo_to_dict(conninfo)["dbname"]
    with psycopg.connect(conninfo, dbname="postgres", autocommit=True) as admin:
        wait_until(
            lambda: admin.execute(TOOL_SESSIONS, [database]).fetchone() == (0,),
            "the tool's session is gone",
        )


@pytest.fixture
def start_halfway(
    sample_database: NewDatabase, admin_conninfo: str, tmp_path: Path
) -> Iterator[Callable[[str], Halfway]]:
    started = []

    def start(point: str) -> Halfway:
        conninfo = sample_database()
        role = f"test_pause_{secrets.token_hex(4)}"
        execute(conninfo, *(statement.replace("{role}", role) for statement in PAUSE))
        execute(conninfo, POINTS[point])
        dump = make_dump(conninfo, tmp_path)
        execute(conninfo, "DELETE FROM watch_history", "ALTER TABLE users ADD COLUMN x integer")
        execute(admin_conninfo, f"CREATE ROLE {role}")
        started.append(Halfway(admin_conninfo, conninfo, dump.path, role, point))
        return started[-1]

    yield start
    for restore in started:
        restore.go_on()
        restore.process.kill()
        restore.process.communicate()


@pytest.fixture(params=["rows", "index"])
def halfway(request: pytest.FixtureRequest, start_halfway: Callable[[str], Halfway]) -> Halfway:
    return start_halfway(request.param)


def test_kill_9_of_the_tool(halfway: Halfway) -> None:
    halfway.process.kill()
    halfway.process.wait()

    halfway.require_nothing_changed()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(start_halfway: Callable[[str], Halfway], number: signal.Signals) -> None:
    halfway = start_halfway("index" if number == signal.SIGINT else "rows")
    children = halfway.children()
    halfway.process.send_signal(number)

    outcome = finish(halfway.process)

    assert outcome.code == 128 + number
    assert outcome.err.rstrip().endswith("nothing was restored, the database is unchanged")
    assert "Traceback" not in outcome.err
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    halfway.require_nothing_changed()


def test_kill_9_of_pg_restore(start_halfway: Callable[[str], Halfway]) -> None:
    halfway = start_halfway("rows")
    (child,) = halfway.children()
    os.kill(child, signal.SIGKILL)
    halfway.go_on()

    outcome = finish(halfway.process)

    assert outcome.code == 1
    assert "killed by signal 9" in outcome.err
    halfway.require_nothing_changed()


def test_the_connection_is_cut(start_halfway: Callable[[str], Halfway]) -> None:
    halfway = start_halfway("rows")
    halfway.end_connection()

    outcome = finish(halfway.process)

    assert outcome.code == 1
    assert "connection was lost" in outcome.err
    halfway.require_nothing_changed()


def test_nothing_can_be_read_meanwhile(start_halfway: Callable[[str], Halfway]) -> None:
    """Aperture, back too early, waits and then works with the restored tables. That the restore
    ends well shows what the other tests rest on: nothing but the fault ends theirs."""
    halfway = start_halfway("rows")
    with psycopg.connect(halfway.conninfo, autocommit=True) as app:
        app.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            app.execute("SELECT count(*) FROM users")
    halfway.go_on()
    outcome = finish(halfway.process)
    assert outcome.code == 0, outcome.err
    assert fetch_one(halfway.conninfo, "SELECT count(*) FROM watch_history") > 0


def test_at_many_moments(sample_database: NewDatabase, tmp_path: Path) -> None:
    """kill -9 wherever the restore happens to be: all of it or nothing."""
    conninfo = sample_database()
    wanted = read_state(conninfo)
    dump = make_dump(conninfo, tmp_path)
    execute(conninfo, "DELETE FROM watch_history", "ALTER TABLE users ADD COLUMN x integer")
    changed = read_state(conninfo)
    for tenths in range(4, 20, 2):
        process = start_program("restore", str(dump.path), "--confirm", PHRASE, conninfo=conninfo)
        try:
            process.communicate(timeout=tenths / 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        require_gone(conninfo)
        assert read_state(conninfo) in (changed, wanted)


def test_two_at_once(sample_database: NewDatabase, tmp_path: Path) -> None:
    """They see each other, or one waits for the other's locks; never half of each."""
    conninfo = sample_database()
    wanted = read_state(conninfo)
    dump = make_dump(conninfo, tmp_path)
    both = [
        start_program("restore", str(dump.path), "--confirm", PHRASE, conninfo=conninfo)
        for _ in range(2)
    ]
    codes = [finish(process).code for process in both]

    assert set(codes) <= {0, 1, 6}
    assert read_state(conninfo) == wanted


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_connection_lost_while_committing(
    is_committed: bool, aperture_database: NewDatabase
) -> None:
    """Whether it took place is asked of the server, not guessed."""
    conninfo = aperture_database()
    with opened(conninfo) as (target, conn), pytest.raises(ApertureDbError) as raised:
        commit_on_a_lost_connection(target, conn, conninfo, is_committed=is_committed)
    assert ("was committed" in raised.value.why) is is_committed
    assert ("was rolled back" in raised.value.why) is not is_committed
    assert fetch_one(conninfo, "SELECT to_regclass('done') IS NOT NULL") is is_committed


def commit_on_a_lost_connection(
    target: Target, conn: Connection, conninfo: str, *, is_committed: bool
) -> None:
    with transaction(target, conn) as outcome:
        outcome.note_begin(conn)
        conn.execute("CREATE TABLE public.done ()")
        outcome.note_complete(conn)
        commit = conn.commit

        def lose_the_answer() -> None:
            if is_committed:
                commit()
            pid = conn.info.backend_pid
            execute(conninfo, f"SELECT pg_terminate_backend({pid}, 5000)")
            psycopg.Cursor(conn).execute("SELECT")

        conn.commit = lose_the_answer  # type: ignore[method-assign]


def test_a_lock_that_came_after_the_look_at_sessions(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conninfo = aperture_database()
    before = read_state(conninfo)
    dump = make_dump(conninfo, tmp_path).path
    for module in ("apply", "plan"):
        monkeypatch.setattr(f"aperture_db.restore.{module}.read_sessions", lambda _conn: ())
    with psycopg.connect(conninfo, application_name="the holder") as holder:
        holder.execute("UPDATE movies SET title = title")
        outcome = run_inside(
            "restore", str(dump), "--confirm", PHRASE, "--lock-timeout", "1s", database=conninfo
        )
    assert outcome.code == 6
    assert "the holder" in outcome.err
    assert read_state(conninfo) == before
    assert list(tmp_path.iterdir()) == [dump]


def test_interrupted_after_the_commit(
    aperture_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one line tells the truth then, too."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    conninfo = aperture_database()
    dump = make_dump(conninfo, tmp_path).path
    monkeypatch.setattr("aperture_db.restore.apply._analyze", interrupt)
    outcome = run_inside("restore", str(dump), "--confirm", PHRASE, database=conninfo)
    assert outcome.code == 130
    assert outcome.err.rstrip().endswith("the dump was restored; only statistics are missing")
