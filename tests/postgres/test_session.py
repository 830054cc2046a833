"""The session contract on a server whose database and role are set up against it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta, timezone

import psycopg
import pytest
from psycopg import sql
from psycopg.pq import Trace, TransactionStatus
from psycopg.rows import dict_row, tuple_row

from aperture_db.postgres.session import (
    CONTRACT,
    Connection,
    open_session,
    timeouts_of,
)

HOSTILE = {
    "search_path": "evil, public",
    "row_security": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "xmloption": "document",
    "client_min_messages": "error",
    "gin_fuzzy_search_limit": "1",
    "statement_timeout": "3s",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "2s",
    "transaction_timeout": "5s",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "check_function_bodies": "off",
    "client_encoding": "LATIN1",
    "backslash_quote": "on",
    "default_tablespace": "pg_default",
    "default_table_access_method": "other",
}


@pytest.fixture
def hostile_conninfo(new_database: Callable[[], str]) -> str:
    """A database whose defaults are all other than the contract's."""
    conninfo = new_database()
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA evil")
        conn.execute("CREATE ACCESS METHOD other TYPE TABLE HANDLER heap_tableam_handler")
        for name, value in HOSTILE.items():
            values = sql.SQL(", ").join(map(sql.Literal, value.split(", ")))
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(conn.info.dbname), sql.Identifier(name), values
                )
            )
    return conninfo


@pytest.fixture
def hostile(hostile_conninfo: str) -> Iterator[Connection]:
    """A connection to it as the tool makes one."""
    with open_session(hostile_conninfo) as conn:
        yield conn


def value_of(conn: Connection, expression: str) -> object:
    """The value of one SQL expression."""
    row = conn.execute(f"SELECT {expression}".encode()).fetchone()
    assert row is not None
    return row[0]


def test_every_setting_of_the_contract_is_in_force(hostile: Connection) -> None:
    expected = {**CONTRACT, **timeouts_of(hostile.info.server_version)}
    assert set(HOSTILE) - set(expected) == {
        "default_transaction_isolation",
        "default_transaction_deferrable",
    }
    with hostile.transaction():
        found = {name: value_of(hostile, f"current_setting('{name}')") for name in expected}
        assert found == expected
        assert value_of(hostile, "current_setting('transaction_isolation')") == "read committed"
        assert value_of(hostile, "current_setting('transaction_read_only')") == "off"
        assert value_of(hostile, "current_setting('transaction_deferrable')") == "off"


def test_a_statement_of_its_own_is_under_the_contract(hostile: Connection) -> None:
    assert value_of(hostile, "current_setting('TimeZone')") == "UTC"
    with hostile.cursor() as cursor:
        row = cursor.execute("SELECT current_setting('DateStyle')").fetchone()
    assert row == ("ISO, MDY",)


def test_nothing_is_left_for_the_next_client(hostile: Connection) -> None:
    with hostile.transaction():
        pass
    row = hostile.execute_alone("SHOW search_path").fetchone()
    assert row == ("evil, public",)


def test_a_read_only_connection_can_not_write(hostile: Connection) -> None:
    hostile.read_only = True
    hostile.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with hostile.transaction():
        assert value_of(hostile, "current_setting('transaction_isolation')") == "repeatable read"
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            hostile.execute("CREATE TABLE public.t ()")


def test_the_original_path_is_known_and_comes_back(hostile: Connection) -> None:
    assert hostile.original_path.setting == "evil, public"
    assert hostile.original_path.schemas == ("evil", "public")
    with hostile.transaction():
        hostile.use_original_search_path()
        assert value_of(hostile, "current_schema()") == "evil"
        hostile.renew_contract()
        assert value_of(hostile, "current_setting('search_path')") == "pg_catalog, pg_temp"


def test_vacuum_runs_alone(hostile: Connection) -> None:
    hostile.execute("CREATE TABLE public.t ()")
    hostile.execute_alone(sql.SQL("VACUUM {}").format(sql.Identifier("public", "t")))
    assert hostile.needs_transaction


def fail(conn: Connection, number: int, error: Exception) -> None:
    """Insert a number in a transaction, and end that by an exception."""
    with conn.transaction():
        conn.execute("INSERT INTO public.t VALUES (%s)", [number])
        raise error


def test_transactions_commit_roll_back_and_nest(hostile: Connection) -> None:
    hostile.execute("CREATE TABLE public.t (n int)")
    with hostile.transaction():
        hostile.execute("INSERT INTO public.t VALUES (1)")
        with pytest.raises(RuntimeError):
            fail(hostile, 2, RuntimeError())
    with hostile.transaction(force_rollback=True):
        hostile.execute("INSERT INTO public.t VALUES (3)")
    with pytest.raises(RuntimeError):
        fail(hostile, 4, RuntimeError())
    fail(hostile, 5, psycopg.Rollback())
    with pytest.raises(psycopg.errors.DivisionByZero):
        hostile.execute("SELECT 1 / 0")
    assert value_of(hostile, "array_agg(n) FROM public.t") == [1]


def test_a_transaction_opens_in_one_round_trip(hostile: Connection) -> None:
    with hostile.transaction():
        pass
    with tempfile.TemporaryFile() as trace:
        hostile.pgconn.trace(trace.fileno())
        hostile.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        with hostile.transaction():
            hostile.execute("SELECT 1")
        hostile.pgconn.untrace()
        trace.seek(0)
        sent = [line for line in trace.read().decode().splitlines() if line.startswith("F")]
    assert sum("Query" in line for line in sent) == 3, sent


def test_a_question_takes_one_round_trip_under_the_contract(
    new_database: Callable[[], str],
) -> None:
    query = sql.SQL("SELECT current_setting('search_path') AS path, current_user::text AS role")
    with open_session(new_database()) as conn:
        row = conn.ask(sql.Composed([query]), dict_row).fetchone()
        assert row is not None
        assert row["path"] == "pg_catalog, pg_temp"
        assert conn.original_path.schemas == ("public",)
        assert conn.info.transaction_status is TransactionStatus.IDLE
        with pytest.raises(psycopg.errors.UndefinedTable):
            conn.ask(sql.Composed([sql.SQL("SELECT FROM movies")]), dict_row)
        assert conn.info.transaction_status is TransactionStatus.IDLE
        with conn.transaction():
            assert conn.ask(sql.Composed([query]), dict_row).fetchone() == row
            conn.execute("SET LOCAL lock_timeout = 7000")
            lock_timeout = sql.Composed([sql.SQL("SHOW lock_timeout")])
            assert conn.ask(lock_timeout, tuple_row).fetchone() == ("7s",)


def test_times_that_python_has_no_room_for(new_database: Callable[[], str]) -> None:
    times = ("-infinity", "4713-01-01 BC", "0001-01-01 BC", "0001-06-01", "9999-06-01",
             "10000-01-01", "294276-12-31", "infinity")  # fmt: skip
    with open_session(new_database()) as conn:
        rows = conn.execute("SELECT unnest(%s::timestamptz[])", [list(times)]).fetchall()
    years = [moment.astimezone(timezone(timedelta(hours=14))).year for (moment,) in rows]
    assert years == [1, 1, 1, 1, 9999, 9999, 9999, 9999]
