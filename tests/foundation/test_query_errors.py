"""What the user reads when a statement fails, against real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.errors import ApertureDbError, BusyError, ConnectError
from aperture_db.postgres.connection import connect, set_local, translated_errors
from aperture_db.postgres.refusals import OTHERWISE, grant_for
from aperture_db.postgres.session import Connection
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target
from tests.servers.roles import Rights
from tests.waiting import wait_until


@contextmanager
def session(conninfo: str, *, read_only: bool = False) -> Iterator[Connection]:
    """A connection as commands have it."""
    target = resolve_target(conninfo, None, {})
    with (
        translated_errors(target, writes=not read_only),
        connect(target, read_only=read_only) as conn,
    ):
        yield conn


Step = str | Callable[[Connection], object]


def run_steps(conninfo: str, *steps: Step, read_only: bool = False) -> None:
    """Run statements and functions in one transaction."""
    with session(conninfo, read_only=read_only) as conn:
        # Read now: a SET TRANSACTION has to come before every query.
        assert conn.original_path.schemas
        with conn.transaction():
            run_all(conn, steps)


def run_all(conn: Connection, steps: Sequence[Step]) -> None:
    """Run the steps with the path of psql."""
    conn.execute("SET LOCAL search_path = public")
    for step in steps:
        if isinstance(step, str):
            conn.execute(step.encode())
        else:
            step(conn)


def failure(conninfo: str, *steps: Step, read_only: bool = False) -> ApertureDbError:
    """The error of running the steps in one transaction."""
    with pytest.raises(ApertureDbError) as caught:
        run_steps(conninfo, *steps, read_only=read_only)
    return caught.value


def test_no_privilege_to_read(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = new_database()
    with psycopg.connect(database) as admin:
        admin.execute("CREATE TABLE movies (id int)")
    role = limited_role(database, "none")
    error = failure(role, "SELECT * FROM movies", read_only=True)
    assert error.what == "the database refused a statement"
    assert error.why == "permission denied for table movies"
    assert error.next_step == (
        "as the owner or a superuser run: "
        f'GRANT SELECT ON "public"."movies" TO "{conninfo_to_dict(role)["user"]}";'
    )
    assert (error.code, error.exit_code) == ("no_privilege", 1)


def test_the_grant_that_is_advised_helps(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = new_database()
    with psycopg.connect(database) as admin:
        admin.execute("CREATE TABLE movies (id serial)")
        admin.execute("CREATE SCHEMA other")
        admin.execute("CREATE SCHEMA hidden")
        admin.execute("CREATE TABLE hidden.notes (id int)")
    role = limited_role(database, "read")
    for statement in (
        "DELETE FROM movies",
        "INSERT INTO hidden.notes VALUES (1)",
        "SELECT nextval('movies_id_seq')",
        "CREATE TABLE other.shows (id int)",
        "CREATE SCHEMA third",
        "ALTER TABLE movies ADD COLUMN title text",
        "SELECT pg_ls_waldir()",
    ):
        advice = failure(role, statement).next_step
        if "notes" in statement:
            # The schema comes first, and then the table.
            with psycopg.connect(database) as admin:
                admin.execute(advice.partition("run: ")[2].encode())
            advice = failure(role, statement).next_step
            assert '"hidden"."notes"' in advice
        assert "ALL" not in advice
        with psycopg.connect(database) as admin:
            admin.execute(advice.partition("run: ")[2].encode())
        run_steps(role, statement)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        (
            "must be owner of materialized view sums",
            'as a superuser run: ALTER MATERIALIZED VIEW sums OWNER TO "a ""b""";',
        ),
        (
            "permission denied for view pg_stat_replication",
            'as the owner or a superuser run: GRANT pg_monitor TO "a ""b""";',
        ),
        ("must be owner of extension vector", OTHERWISE),
        ("permission denied for database aperture", OTHERWISE),
        ("keine Berechtigung für Tabelle movies", OTHERWISE),
    ],
)
def test_grants(message: str, advice: str) -> None:
    nowhere = Target({"user": 'a "b"', "host": "127.0.0.1", "port": "1"}, "a test")
    assert grant_for(message, nowhere) == advice


def test_the_servers_own_hint_is_no_advice_of_the_tool(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    error = failure(limited_role(new_database(), "none"), "CREATE EXTENSION vector")
    assert error.why == 'permission denied to create extension "vector"'
    assert error.next_step == OTHERWISE
    assert error.details == ("the server's hint: Must be superuser to create this extension.",)


def test_writing_where_only_reading_is_possible(standby_conninfo: str) -> None:
    error = failure(standby_conninfo, "CREATE TABLE movies (id int)")
    assert error.what == "the database is read-only"
    assert error.why == "it is a standby"
    assert error.next_step == "connect to the primary server"
    assert (error.code, error.exit_code) == ("read_only", 1)


def test_reading_works_on_a_standby(standby_conninfo: str) -> None:
    with session(standby_conninfo, read_only=True) as conn, conn.transaction():
        assert conn.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)


def test_lock_not_obtained(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database) as holder:
        holder.execute("CREATE TABLE movies (id int)")
        holder.commit()
        holder.execute("LOCK TABLE movies")
        error = failure(database, "SET LOCAL lock_timeout = '20ms'", "LOCK TABLE movies")
        assert isinstance(error, BusyError)
        assert error.what == "timed out waiting for a lock"
        assert error.why == "canceling statement due to lock timeout"
        assert error.next_step == (
            "end the session that holds the lock (see aperture-db health) and retry"
        )
        assert (error.code, error.exit_code) == ("busy", 6)
        error = failure(database, "LOCK TABLE movies NOWAIT")
        assert error.why == 'could not obtain lock on relation "movies"'


def test_a_conflict_with_another_session(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("CREATE TABLE movies AS SELECT 1 AS id")
        error = failure(
            database,
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SELECT * FROM movies",
            lambda _conn: other.execute("UPDATE movies SET id = 2"),
            "UPDATE movies SET id = 3",
        )
    assert isinstance(error, BusyError)
    assert error.what == "the statement conflicted with another session"
    assert error.why == "could not serialize access due to concurrent update"
    assert (error.code, error.next_step) == ("conflict", "run the command again")


def test_cancelled_by_a_timeout(new_database: Callable[[], str]) -> None:
    error = failure(new_database(), "SET LOCAL statement_timeout = '20ms'", "SELECT pg_sleep(60)")
    assert error.what == "the server cancelled the statement"
    assert error.why == "canceling statement due to statement timeout"
    assert error.next_step == "run it again at a quieter time, or raise statement_timeout"
    assert (error.code, error.exit_code) == ("cancelled", 1)


def test_cancelled_by_somebody(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database) as other:
        other.execute(
            "CREATE FUNCTION cancel_me() RETURNS boolean LANGUAGE sql "
            "AS 'SELECT pg_cancel_backend(pg_backend_pid())'"
        )
    error = failure(database, "SELECT cancel_me(), pg_sleep(60)")
    assert error.why == "canceling statement due to user request"
    assert error.next_step == "run the command again"


def terminate(admin: psycopg.Connection, conn: Connection) -> None:
    """End the server process of `conn`, and wait until it has gone."""
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    admin.execute("SELECT pg_terminate_backend(%s)", row)
    wait_until(
        lambda: not admin.execute("SELECT FROM pg_stat_activity WHERE pid = %s", row).rowcount,
        "the server process has ended",
    )


def test_the_connection_is_lost(new_database: Callable[[], str]) -> None:
    database = new_database()
    with psycopg.connect(database, autocommit=True) as admin:
        error = failure(database, lambda conn: terminate(admin, conn), "SELECT 1")
    assert error.what == "the connection was lost"
    assert error.why == "terminating connection due to administrator command"
    assert (
        error.next_step
        == "the server rolls back the open transaction; read its log, then run again"
    )
    assert (error.code, error.exit_code) == ("connection_lost", 1)


def test_the_connection_is_lost_behind_a_pooler(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    database = new_database()
    pooled = pgbouncer_conninfo(database)
    with psycopg.connect(database, autocommit=True) as admin:
        error = failure(pooled, lambda conn: terminate(admin, conn), "SELECT 1")
    assert error.code == "connection_lost"


def test_a_closed_connection(new_database: Callable[[], str]) -> None:
    error = failure(new_database(), lambda conn: conn.close(), "SELECT 1")
    assert (error.code, error.why) == ("connection_lost", "the connection is closed")


def test_disk_full(new_database: Callable[[], str]) -> None:
    error = failure(new_database(), "COPY (SELECT repeat('x', 100000)) TO '/dev/full'")
    assert error.what == "the server's disk is full"
    assert error.why == "could not write to COPY file: No space left on device"
    assert error.next_step == "free space on the server's data volume, then run again"
    assert (error.code, error.exit_code) == ("disk_full", 1)


def raised(conninfo: str, state: str, message: str, more: str = "") -> ApertureDbError:
    """The error of a server that says `message` with the SQLSTATE `state`."""
    return failure(
        conninfo,
        f"DO $$BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = '{message}'{more}; END$$",
    )


def test_shared_memory_full(new_database: Callable[[], str]) -> None:
    message = (
        'could not resize shared memory segment "/PostgreSQL.1802486532" to 67128672 bytes: '
        "No space left on device"
    )
    error = raised(new_database(), "53100", message)
    assert error.what == "the server ran out of shared memory"
    assert error.why == message
    assert error.next_step == (
        "set shm_size: 192mb for the database in docker-compose.yml, or run: "
        "ALTER SYSTEM SET max_parallel_maintenance_workers = 0; SELECT pg_reload_conf();"
    )
    assert error.code == "shared_memory_full"


def test_too_many_connections_in_a_statement(new_database: Callable[[], str]) -> None:
    error = raised(new_database(), "53300", "too many clients already")
    assert isinstance(error, ConnectError)
    assert (error.code, error.exit_code) == ("too_many_connections", 3)


def test_anything_else(new_database: Callable[[], str]) -> None:
    database = new_database()
    error = failure(database, "SELECT 1/0")
    assert error.what == "the database refused a statement"
    assert error.why == "division by zero (SQLSTATE 22012)"
    assert error.next_step == "run again with -vv and report the output"
    assert error.code == "statement_failed"
    error = raised(database, "P0001", "no", ", DETAIL = 'one' || chr(10) || 'two', HINT = 'do it'")
    assert error.why == "no (SQLSTATE P0001)"
    assert error.details == ("one / two", "the server's hint: do it")
    assert error.next_step == "run again with -vv and report the output"


def test_the_password_is_taken_out_of_what_the_server_says(
    new_database: Callable[[], str],
) -> None:
    database = new_database()
    password = conninfo_to_dict(database)["password"]
    error = failure(database, f'SELECT FROM "{password}"')
    assert error.why == 'relation "********" does not exist (SQLSTATE 42P01)'


def test_set_local_ends_with_the_transaction(new_database: Callable[[], str]) -> None:
    with session(new_database()) as conn:
        with conn.transaction():
            set_local(conn, lock_timeout="3s", statement_timeout="4s")
            assert conn.execute("SHOW lock_timeout").fetchone() == ("3s",)
            assert conn.execute("SHOW statement_timeout").fetchone() == ("4s",)
        assert conn.execute("SHOW lock_timeout").fetchone() == ("0",)


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM gone", "SELECT gone FROM pg_class", "SELECT gone(1)", "SELECT 1 = 'a'::text"],
)
def test_what_is_not_as_the_migrations_make_it_is_looked_for(
    statement: str, new_database: Callable[[], str]
) -> None:
    error = failure(new_database(), statement)
    assert error.next_steps[0] == "aperture-db health --only schema-drift"


def test_a_limit_of_temporary_files(new_database: Callable[[], str]) -> None:
    database = new_database()
    steps = "SET LOCAL work_mem = '64kB'", "SET LOCAL temp_file_limit = '1kB'"
    error = failure(
        database, *steps, "SELECT count(*) FROM (SELECT i FROM generate_series(1, 1000000) AS i "
        "ORDER BY -i) AS sorted",
    )  # fmt: skip
    assert "SET temp_file_limit = -1;" in error.next_step
