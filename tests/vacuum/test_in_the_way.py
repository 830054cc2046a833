"""Others at work: locks, old snapshots, and an administrator who changes his mind."""

from __future__ import annotations

import signal
import threading

import psycopg
import pytest

from tests.cli import finish, start_cli
from tests.program import run_inside
from tests.vacuum.filling import delete_quarter, slowed
from tests.vacuum.test_vacuum import results
from tests.waiting import wait_until, waits_for_lock

OURS = "FROM pg_stat_progress_vacuum WHERE datname = current_database()"
VACUUMS = f"SELECT count(*) {OURS}"
# Of those that came to their end.
FINISHED_VACUUMS = "SELECT pg_stat_get_vacuum_count('movies'::regclass)"


def test_a_table_held_by_another_session_is_named(used_database: str) -> None:
    with psycopg.connect(used_database, application_name="holder") as holder:
        holder.execute("LOCK TABLE movies IN ACCESS EXCLUSIVE MODE")
        pid = holder.info.backend_pid
        shown = run_inside("vacuum", "--dry-run", "--table", "movies", database=used_database)
        assert f"would wait: held by pid {pid}" in shown.out
        outcome = run_inside("vacuum", "--lock-timeout", "300ms", "--json", database=used_database)
    assert outcome.code == 1
    assert results(outcome)["movies"]["outcome"] == "skipped"
    assert f"held by pid {pid}, holder" in results(outcome)["movies"]["reason"]
    assert f"SELECT pg_terminate_backend({pid});" in outcome.envelope["error"]["next"]
    others = [result for name, result in results(outcome).items() if name != "movies"]
    assert {result["outcome"] for result in others} == {"done"}


def test_readers_and_writers_are_not_in_the_way(used_database: str) -> None:
    with psycopg.connect(used_database) as writer:
        writer.execute("UPDATE movies SET title = 'x' WHERE provider_item_id = '1'")
        assert run_inside("vacuum", "--lock-timeout", "0", database=used_database).code == 0


def test_a_lock_that_goes_away_is_waited_for(used_database: str) -> None:
    with psycopg.connect(used_database) as holder:
        holder.execute("LOCK TABLE movies IN SHARE MODE")
        pid = holder.info.backend_pid

        def let_go() -> None:
            wait_until(lambda: waits_for_lock(used_database), "vacuum waits")
            holder.rollback()

        releasing = threading.Thread(target=let_go)
        releasing.start()
        outcome = run_inside(
            "vacuum", "--table", "movies", "--lock-timeout", "60s", database=used_database
        )
        releasing.join()
    assert outcome.code == 0
    assert f"movies: waiting for its lock, held by pid {pid}" in outcome.err


def test_a_table_that_is_dropped_meanwhile_is_no_failure(used_database: str) -> None:
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s"
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute("CREATE TABLE notes AS SELECT 1 AS id")
        (oid,) = conn.execute("SELECT 'notes'::regclass::oid").fetchone() or (0,)
        with psycopg.connect(used_database) as holder:
            holder.execute("DROP TABLE notes")

            def drop() -> None:
                wait_until(lambda: conn.execute(waits, [oid]).fetchone() == (1,), "vacuum waits")
                holder.commit()

            dropping = threading.Thread(target=drop)
            dropping.start()
            outcome = run_inside("vacuum", "--table", "notes", "--json", database=used_database)
            dropping.join()
    assert outcome.code == 0, outcome.err
    assert results(outcome)["notes"]["outcome"] == "gone"
    assert results(outcome)["notes"]["reason"] == "it was dropped meanwhile"


def test_who_queues_for_a_lock_is_named_too(used_database: str) -> None:
    """A reader alone is not in the way, but a lock that waits for the reader is."""
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = %s"
    with (
        psycopg.connect(used_database) as reader,
        psycopg.connect(used_database, application_name="patient") as altering,
        psycopg.connect(used_database, autocommit=True) as conn,
    ):
        reader.execute("SELECT FROM movies LIMIT 1")
        pid = altering.info.backend_pid
        lock = "LOCK TABLE movies IN ACCESS EXCLUSIVE MODE"
        waiting = threading.Thread(target=lambda: altering.execute(lock))
        waiting.start()
        wait_until(lambda: conn.execute(waits, [pid]).fetchone() == (1,), "the lock waits")
        outcome = run_inside(
            "vacuum", "--table", "movies", "--lock-timeout", "300ms", database=used_database
        )
        reader.rollback()
        waiting.join()
    assert outcome.code == 1
    assert f"pid {pid}, patient" in outcome.err


def test_an_old_snapshot_is_named(used_database: str) -> None:
    with psycopg.connect(used_database, application_name="reporting") as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT count(*) FROM movies")
        with psycopg.connect(used_database, autocommit=True) as conn:
            delete_quarter(conn, 1)
        outcome = run_inside("vacuum", "--table", "movies", "--json", database=used_database)
        pid = old.info.backend_pid
    assert outcome.code == 0
    data = outcome.envelope["data"]
    # 250 that the snapshot sees; the 250 before it too, if a test in another database wrote then.
    assert data["unremovable_rows"] in (250, 500)
    assert data["snapshot_holders"][0]["pid"] == pid
    (warning,) = outcome.envelope["warnings"]
    assert "dead rows can't be removed yet: session (pid" in warning
    assert "reporting" in warning
    assert f"SELECT pg_terminate_backend({pid});" in warning


def test_a_prepared_transaction_that_keeps_rows_is_named(used_database: str) -> None:
    with psycopg.connect(used_database, autocommit=True) as conn:
        conn.execute("BEGIN")
        conn.execute(
            "INSERT INTO users (username, provider, provider_user_id) VALUES ('jane', 'emby', '1')"
        )
        conn.execute("PREPARE TRANSACTION 'it''s forgotten'")
        try:
            delete_quarter(conn, 1)
            outcome = run_inside("vacuum", "--table", "movies", database=used_database)
        finally:
            conn.execute("ROLLBACK PREPARED 'it''s forgotten'")
    assert "prepared transaction it's forgotten still sees them" in outcome.err
    assert "ROLLBACK PREPARED 'it''s forgotten';" in outcome.err


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_stops_the_statement_and_tells_what_remains(
    used_database: str, signal_number: signal.Signals, code: int
) -> None:
    tables = ("users", "movies", "watch_history")
    with psycopg.connect(used_database, autocommit=True) as conn:
        finished = conn.execute(FINISHED_VACUUMS).fetchone()
        process = start_cli(
            "vacuum", *(word for name in tables for word in ("--table", name)), "--json",
            conninfo=slowed(used_database),
        )  # fmt: skip
        wait_until(
            lambda: conn.execute(f"{VACUUMS} AND relid = 'movies'::regclass").fetchone() == (1,),
            "movies is being vacuumed",
        )
        process.send_signal(signal_number)
        outcome = finish(process)
        assert conn.execute(VACUUMS).fetchone() == (0,)
        assert conn.execute(FINISHED_VACUUMS).fetchone() == finished
    assert outcome.code == code
    assert outcome.envelope["error"]["code"] == "interrupted"
    assert "2 of 3 tables done; stopped at movies, which has to be done again" in outcome.err
    assert outcome.envelope["data"]["remaining"] == ["movies"]


def test_an_interruption_through_a_pooler_stops_the_statement_too(
    used_database: str, pgbouncer_conninfo: object
) -> None:
    assert callable(pgbouncer_conninfo)
    with psycopg.connect(used_database, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} SET vacuum_cost_delay = '20ms'")
        conn.execute(f"ALTER DATABASE {name} SET vacuum_cost_limit = 1")
        finished = conn.execute(FINISHED_VACUUMS).fetchone()
        process = start_cli(
            "vacuum", "--table", "movies", conninfo=pgbouncer_conninfo(used_database)
        )
        wait_until(
            lambda: conn.execute(f"{VACUUMS} AND relid = 'movies'::regclass").fetchone() == (1,),
            "movies is being vacuumed",
        )
        process.send_signal(signal.SIGINT)
        outcome = finish(process)
        wait_until(lambda: conn.execute(VACUUMS).fetchone() == (0,), "nothing is being vacuumed")
        assert conn.execute(FINISHED_VACUUMS).fetchone() == finished
    assert outcome.code == 130


def test_a_lost_server_process_is_an_error_with_what_was_done(used_database: str) -> None:
    process = start_cli(
        "vacuum", "--table", "users", "--table", "movies", "--json",
        conninfo=slowed(used_database),
    )  # fmt: skip
    with psycopg.connect(used_database, autocommit=True) as conn:
        wait_until(
            lambda: conn.execute(f"{VACUUMS} AND relid = 'movies'::regclass").fetchone() == (1,),
            "movies is being vacuumed",
        )
        conn.execute(f"SELECT pg_terminate_backend(pid) {OURS}")
    outcome = finish(process)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "connection_lost"
    assert [result["name"] for result in outcome.envelope["data"]["results"]] == ["users"]


def test_a_statement_cancelled_by_an_administrator_fails_its_table_only(
    used_database: str,
) -> None:
    process = start_cli(
        "vacuum", "--table", "users", "--table", "movies", "--json",
        conninfo=slowed(used_database),
    )  # fmt: skip
    with psycopg.connect(used_database, autocommit=True) as conn:
        wait_until(
            lambda: conn.execute(f"{VACUUMS} AND relid = 'movies'::regclass").fetchone() == (1,),
            "movies is being vacuumed",
        )
        conn.execute(f"SELECT pg_cancel_backend(pid) {OURS}")
    outcome = finish(process)
    assert outcome.code == 1
    assert results(outcome)["movies"]["outcome"] == "failed"
    assert results(outcome)["users"]["outcome"] == "done"
