"""Samples: the tool's own schema, and nothing of Aperture's touched."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from aperture_db.postgres.session import Connection, open_session
from aperture_db.stats.collect import collect
from aperture_db.stats.history import (
    GrowthUnit,
    Measurement,
    Sample,
    measure,
    measure_growth,
    read_history,
    read_samples,
    record_sample,
)
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.stats.conftest import Open, OpenPlain

MEASUREMENT = Measurement(
    is_exact=True,
    newest_migration="0114_x.sql",
    database_bytes=1000,
    table_bytes=500,
    index_bytes=400,
    counts={"movies": 3, "series": 2},
    group_bytes={"content": 600},
)


def sample(day: int, **counts: int) -> Sample:
    return Sample(
        is_exact=True,
        newest_migration=None,
        database_bytes=1000 + day * 10,
        table_bytes=500,
        index_bytes=400,
        counts=counts,
        group_bytes={},
        sampled_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day),
    )


def contents(conn: Connection) -> dict[str, str]:
    """Every relation, function and type outside the tool's schema; tables with a digest."""
    objects = conn.execute(
        "SELECT c.oid::regclass::text, c.relkind::text FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.oid >= 16384 AND nspname NOT IN ('aperture_db', 'pg_toast') "
        "UNION ALL SELECT oid::regprocedure::text, 'p' FROM pg_proc WHERE oid >= 16384 "
        "UNION ALL SELECT nspname, 'n' FROM pg_namespace "
        "WHERE oid >= 16384 AND nspname <> 'aperture_db'"
    ).fetchall()
    digests: dict[str, str] = {}
    for name, kind in objects:
        digests[name] = kind
        if kind == "r":
            query = f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} AS t"
            row = conn.execute(query).fetchone()
            digests[name] = str(row and row[0])
    return digests


def test_first_use_makes_only_its_own_schema(
    sample_database: Callable[[], str], reader: Open
) -> None:
    conninfo = sample_database()
    before = contents(reader(conninfo))
    outcome = run_inside("stats", "--record", database=conninfo)
    assert outcome.code == 0
    assert outcome.err == (
        "recorded in aperture_db.samples; see the growth with: aperture-db stats --history "
        "--database-url 'postgresql://…'\n"
    )
    assert contents(reader(conninfo)) == before
    made = reader(conninfo).execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'aperture_db'::regnamespace "
        "ORDER BY relname"
    )
    assert made.fetchall() == [("samples",), ("samples_id_seq",), ("samples_pkey",)]


def test_sample_holds_the_numbers_of_the_report(
    sample_database: Callable[[], str], reader: Open
) -> None:
    conninfo = sample_database()
    report = collect(reader(conninfo))
    outcome = run_inside("stats", "--record", "--json", database=conninfo)
    assert outcome.envelope["ok"]
    [recorded] = read_samples(reader(conninfo))
    assert outcome.envelope["data"]["recorded_at"] == recorded.sampled_at.isoformat().replace(
        "+00:00", "Z"
    )
    expected = measure(report)
    assert recorded.counts == expected.counts
    assert recorded.counts["movies"] == report.overview.movies.rows
    assert recorded.index_bytes == report.storage.index_bytes
    assert recorded.group_bytes == report.storage.group_bytes
    assert recorded.newest_migration == report.database.newest_migration
    assert recorded.is_exact


def test_estimates_are_recorded_as_such(sample_database: Callable[[], str], reader: Open) -> None:
    conninfo = sample_database()
    assert run_inside("stats", "--record", "--estimate", "-q", database=conninfo).code == 0
    [recorded] = read_samples(reader(conninfo))
    assert not recorded.is_exact


def test_reading_makes_nothing(sample_database: Callable[[], str], reader: Open) -> None:
    conn = reader(sample_database())
    assert read_samples(conn) == []
    assert read_history(conn).growth == ()
    assert conn.execute("SELECT to_regnamespace('aperture_db')").fetchone() == (None,)


def test_several_first_recordings_at_once(new_database: Callable[[], str], reader: Open) -> None:
    conninfo = new_database()

    def record() -> None:
        with open_session(conninfo) as conn:
            record_sample(conn, MEASUREMENT)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_samples(reader(conninfo))) == 8


def test_old_samples_are_thinned(new_database: Callable[[], str], writer: OpenPlain) -> None:
    conninfo = new_database()
    conn = writer(conninfo)
    with open_session(conninfo) as session:
        record_sample(session, MEASUREMENT)
    conn.execute(
        "INSERT INTO aperture_db.samples (sampled_at, is_exact, table_bytes, index_bytes, counts, "
        "group_bytes) SELECT date_trunc('day', now(), 'UTC') - make_interval(days => d, hours => h)"
        ", true, 1, 1, '{}', '{}' FROM unnest(ARRAY[1, 100, 200]) AS d, unnest(ARRAY[1, 2, 9]) AS h"
    )
    with open_session(conninfo) as session:
        record_sample(session, MEASUREMENT)
    hours = conn.execute(
        "SELECT extract(hour FROM sampled_at AT TIME ZONE 'UTC')::int FROM aperture_db.samples "
        "WHERE sampled_at < now() - interval '1 hour' ORDER BY sampled_at"
    ).fetchall()
    assert [hour for (hour,) in hours] == [23, 23, 15, 22, 23]


def test_nothing_is_recorded_of_another_database(
    new_database: Callable[[], str], reader: Open
) -> None:
    conninfo = new_database()
    outcome = run_inside("stats", "--record", "--json", database=conninfo)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "not_aperture"
    assert outcome.envelope["error"]["next"] == "aperture-db migrate"
    assert reader(conninfo).execute("SELECT to_regnamespace('aperture_db')").fetchone() == (None,)


@pytest.mark.parametrize("rights", ["read", "write"])
def test_role_that_may_not_make_the_schema(
    rights: Rights, sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    conninfo = sample_database()
    role = limited_role(conninfo, rights)
    outcome = run_inside("stats", "--record", "--json", database=role)
    assert outcome.code == 1
    error = outcome.envelope["error"]
    assert error["code"] == "no_privilege"
    assert "GRANT CREATE ON DATABASE" in error["next"]
    assert run_inside("stats", "--record", "-q", database=conninfo).code == 0
    history = run_inside("stats", "--history", "--json", database=role)
    assert history.code == 1
    assert "GRANT USAGE" in history.envelope["error"]["next"]


def test_growth() -> None:
    samples = [sample(0, movies=10), sample(1, movies=20, series=5), sample(4, movies=18)]
    growth = {(item.metric, item.unit): item for item in measure_growth(samples)}
    movies = growth["movies", GrowthUnit.ROWS]
    assert (movies.first, movies.last, movies.change, movies.per_day) == (10, 18, 8, 2.0)
    assert movies.values == (10, 20, 18)
    assert growth["database", GrowthUnit.BYTES].per_day == 10.0
    # Known in one sample only: nothing to compare.
    assert ("series", GrowthUnit.ROWS) not in growth


def test_growth_within_a_day_is_not_extrapolated() -> None:
    later = Sample(**{**vars(sample(0)), "sampled_at": sample(0).sampled_at + timedelta(hours=5)})
    [database, *_] = measure_growth([sample(0), later])
    assert database.per_day is None


def test_history_command(sample_database: Callable[[], str], writer: OpenPlain) -> None:
    conninfo = sample_database()
    outcome = run_inside("stats", "--history", database=conninfo)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "No samples are recorded yet.\n"
        "next: aperture-db stats --record --database-url 'postgresql://…', for example daily "
        "from cron\n"
    )
    assert run_inside("stats", "--record", "-q", database=conninfo).code == 0
    outcome = run_inside("stats", "--history", database=conninfo)
    assert outcome.out.startswith("One sample is recorded, of ")
    writer(conninfo).execute("TRUNCATE movies CASCADE")
    assert run_inside("stats", "--record", "-q", database=conninfo).code == 0
    data = run_inside("stats", "--history", "--json", database=conninfo).envelope["data"]
    assert len(data["samples"]) == 2
    [movies] = [item for item in data["growth"] if item["metric"] == "movies"]
    assert movies == {
        "metric": "movies", "unit": "rows", "first": 60, "last": 0, "change": -60, "is_exact": True,
        "per_day": None, "values": [60, 0],
    }  # fmt: skip
