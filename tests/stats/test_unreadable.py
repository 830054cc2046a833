"""What the role may not read, and what is locked: marked and explained, never an error."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.stats.collect import collect, collect_tables
from aperture_db.stats.report import Count, Unknown
from tests.servers.roles import Rights
from tests.stats.conftest import Open, OpenPlain
from tests.stats.rows import Connection
from tests.waiting import wait_until, waits_for_lock

MakeRole = Callable[[str, Rights], str]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aperture_db.stats.counting.LOCK_TIMEOUT", "100ms")


def truncate_until_cancelled(conn: Connection) -> None:
    with contextlib.suppress(psycopg.errors.QueryCanceled):
        conn.execute("TRUNCATE movies CASCADE")


def backend_pid(conn: Connection) -> int:
    return conn.info.backend_pid


def test_read_only_role(
    sample_database: Callable[[], str], limited_role: MakeRole, reader: Open
) -> None:
    conninfo = sample_database()
    of_reader = collect(reader(limited_role(conninfo, "read")))
    of_owner = collect(reader(conninfo))
    assert of_reader.overview == of_owner.overview
    assert of_reader.embeddings == of_owner.embeddings
    assert of_reader.coverage == of_owner.coverage
    assert of_reader.hints == of_owner.hints


def test_no_privilege_at_all(
    sample_database: Callable[[], str], limited_role: MakeRole, reader: Open
) -> None:
    role = limited_role(sample_database(), "none")
    name = conninfo_to_dict(role)["user"]
    report = collect(reader(role))
    assert report.database.is_aperture
    assert report.overview.movies.unknown is Unknown.NO_PRIVILEGE
    assert report.overview.embeddings.unknown is Unknown.NO_PRIVILEGE
    assert report.overview.recommendations.unknown is Unknown.NO_PRIVILEGE
    assert report.storage.index_bytes > 0
    assert not report.embeddings.is_model_missing
    hint = report.hints[0]
    assert hint.id == "no_privilege"
    assert f'GRANT SELECT ON ALL TABLES IN SCHEMA "public" TO "{name}";' in hint.next
    assert "USAGE" not in hint.next
    tables = collect_tables(reader(role))
    assert {table.count.unknown for table in tables.tables} == {Unknown.NO_PRIVILEGE}
    assert not tables.total.is_complete
    assert tables.total.total_bytes > 0


def test_the_grants_are_enough(
    sample_database: Callable[[], str], limited_role: MakeRole, reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    role = limited_role(conninfo, "none")
    admin = writer(conninfo)
    admin.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    report = collect(reader(role))
    assert report.database.is_aperture
    assert report.overview.users.unknown is Unknown.NO_PRIVILEGE
    assert report.overview.embeddings.unknown is Unknown.NO_PRIVILEGE
    [hint] = [hint for hint in report.hints if hint.id == "no_privilege"]
    assert "GRANT USAGE ON SCHEMA" in hint.next
    admin.execute(hint.next.partition("run: ")[2])
    assert collect(reader(role)).overview == collect(reader(conninfo)).overview


@pytest.mark.parametrize(
    "table",
    [
        "movies", "users", "system_settings", "library_config", "job_runs", "custom_ai_models",
        "aperture_migrations", "embeddings_256", "recommendation_runs", "series",
    ],
)  # fmt: skip
def test_one_table_without_privilege(
    table: str,
    sample_database: Callable[[], str],
    limited_role: MakeRole,
    reader: Open,
    writer: OpenPlain,
) -> None:
    conninfo = sample_database()
    role = limited_role(conninfo, "read")
    name = str(conninfo_to_dict(role)["user"])
    writer(conninfo).execute(f'REVOKE SELECT ON {table} FROM "{name}"')
    report = collect(reader(role))
    [hint] = [hint for hint in report.hints if hint.id == "no_privilege"]
    assert hint.message == "1 table can't be read"
    assert hint.cause == f"role {name} may not read {table}"
    assert report.overview.episodes.rows
    for item in report.coverage:
        assert item.unknown or item.expected is not None
    assert not collect_tables(reader(role)).total.is_complete


def test_columns_without_privilege(
    sample_database: Callable[[], str], limited_role: MakeRole, reader: Open, writer: OpenPlain
) -> None:
    """An administrator may keep the columns with secrets from a monitoring role."""
    conninfo = sample_database()
    role = limited_role(conninfo, "read")
    name = str(conninfo_to_dict(role)["user"])
    admin = writer(conninfo)
    admin.execute(f'REVOKE SELECT ON users FROM "{name}"')
    admin.execute(f'GRANT SELECT (id, username) ON users TO "{name}"')
    overview = collect(reader(role)).overview
    assert overview.users == collect(reader(conninfo)).overview.users
    assert overview.users_enabled.unknown is Unknown.NO_PRIVILEGE


@pytest.mark.parametrize(
    "statement",
    [
        "LOCK TABLE movies",
        "LOCK TABLE movies, watch_history",
        "REINDEX TABLE movies",
        "CLUSTER movies USING movies_pkey",
    ],
)
def test_locked_table(
    statement: str, sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    holder = writer(conninfo)
    with holder.transaction():
        holder.execute(statement)
        report = collect(reader(conninfo))
        tables = {table.name: table for table in collect_tables(reader(conninfo)).tables}
    assert report.overview.movies.unknown is Unknown.LOCKED
    assert report.overview.episodes.rows
    assert tables["movies"].count.unknown is Unknown.LOCKED
    assert tables["movies"].total_bytes is None
    hint = next(hint for hint in report.hints if hint.id == "locked")
    assert hint.message == "movies can't be read"
    assert f"pid {backend_pid(holder)}" in hint.cause
    assert f"pg_terminate_backend({backend_pid(holder)})" in hint.next
    assert collect(reader(conninfo)).overview.movies.rows


@pytest.mark.parametrize("table", ["system_settings", "aperture_migrations", "embeddings_256"])
def test_locked_table_of_another_kind(
    table: str, sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    holder = writer(conninfo)
    with holder.transaction():
        holder.execute(f"LOCK TABLE {table}")
        report = collect(reader(conninfo))
    assert report.overview.movies.rows
    assert [hint.message for hint in report.hints if hint.id == "locked"] == [
        f"{table} can't be read"
    ]


def test_table_that_somebody_waits_to_lock(
    sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    user = writer(conninfo)
    with user.transaction():
        user.execute("SELECT FROM movies")
        with psycopg.connect(conninfo, autocommit=True) as waiter:
            thread = threading.Thread(target=truncate_until_cancelled, args=[waiter])
            thread.start()
            wait_until(lambda: waits_for_lock(conninfo), "TRUNCATE waits for the reader")
            try:
                report = collect(reader(conninfo))
            finally:
                waiter.cancel_safe()
                thread.join()
    [hint] = [hint for hint in report.hints if hint.message == "movies can't be read"]
    assert "waits for ACCESS EXCLUSIVE" in hint.cause


def test_lock_that_ends_in_time_is_waited_for(
    sample_database: Callable[[], str],
    reader: Open,
    writer: OpenPlain,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conninfo = sample_database()
    monkeypatch.setattr("aperture_db.stats.counting.LOCK_TIMEOUT", "30s")
    holder = writer(conninfo)
    holder.execute("BEGIN; LOCK TABLE movies")
    reports: list[Count] = []
    thread = threading.Thread(
        target=lambda: reports.append(collect(reader(conninfo)).overview.movies)
    )
    thread.start()
    wait_until(lambda: waits_for_lock(conninfo), "stats waits for the lock")
    holder.execute("COMMIT")
    thread.join()
    assert reports[0].rows
