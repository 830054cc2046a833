"""Samples of counts and sizes over time, kept in the tool's own PostgreSQL schema `aperture_db`.

The schema is created when the first sample is recorded. Reading never creates it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from psycopg.rows import class_row
from psycopg.types.json import Json

from aperture_db import sql as queries
from aperture_db.aperture.schema import create_schema, own_tables
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import set_local
from aperture_db.postgres.session import Connection
from aperture_db.stats.report import Count, Overview, StatsReport

LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Measurement:
    """The numbers of one sample."""

    is_exact: bool
    """False: the counts are estimates. Sizes are always exact."""
    newest_migration: str | None
    database_bytes: int | None
    """None where the role could not see it."""
    table_bytes: int
    index_bytes: int
    counts: Mapping[str, int]
    """Rows by what is counted; what was unknown is missing."""
    group_bytes: Mapping[str, int]
    """Disk space of tables and their indexes, by kind of data."""


@dataclass(frozen=True)
class Sample(Measurement):
    sampled_at: datetime


class GrowthUnit(StrEnum):
    BYTES = "bytes"
    ROWS = "rows"


@dataclass(frozen=True)
class Growth:
    """The change of one number over the samples that have it."""

    metric: str
    unit: GrowthUnit
    first: int
    last: int
    change: int
    is_exact: bool
    """False when one of the two ends is an estimate."""
    per_day: float | None
    """Average change; None for samples of less than a day."""
    values: tuple[int, ...]
    """At every sample, the oldest first."""


@dataclass(frozen=True)
class History:
    samples: tuple[Sample, ...]
    """The oldest first."""
    growth: tuple[Growth, ...]


def measure(report: StatsReport) -> Measurement:
    """Known counts of the overview by the names that JSON gives them, and sizes.

    Raises ApertureDbError for a database that is not Aperture's: nothing is recorded there.
    """
    if not report.database.is_aperture:
        raise ApertureDbError(
            "no sample was recorded",
            why=f"{report.database.name} is not Aperture's database",
            next_step="aperture-db migrate",
            code="not_aperture",
        )
    counts: dict[str, int] = {}
    for field in fields(Overview):
        count: Count = getattr(report.overview, field.name)
        if count.rows is not None:
            counts[field.name] = count.rows
    return Measurement(
        is_exact=report.is_exact,
        newest_migration=report.database.newest_migration,
        database_bytes=report.storage.database_bytes,
        table_bytes=report.storage.table_bytes,
        index_bytes=report.storage.index_bytes,
        counts=counts,
        group_bytes=report.storage.group_bytes,
    )


def record_sample(conn: Connection, measurement: Measurement) -> datetime:
    """Record a sample; returns its time.

    Needs CREATE on the database for the first one, later SELECT, INSERT and DELETE on
    aperture_db.samples. Of days longer ago than 90 only the last sample is kept.
    """
    with conn.transaction():
        set_local(conn, lock_timeout=LOCK_TIMEOUT)
        create_schema(conn)
        if not _has_samples(conn):
            conn.execute(queries.load("stats/create"))
        row = conn.execute(
            queries.load("stats/insert"),
            {
                **vars(measurement),
                "counts": Json(dict(measurement.counts)),
                "group_bytes": Json(dict(measurement.group_bytes)),
            },
        ).fetchone()
        conn.execute(queries.load("stats/thin"))
    assert row is not None
    sampled_at: datetime = row[0]
    return sampled_at


def read_samples(conn: Connection) -> list[Sample]:
    """All samples, the oldest first; none where none was ever recorded.

    Needs USAGE on the schema aperture_db and SELECT on its table samples, where they exist.
    """
    if not _has_samples(conn):
        return []
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(queries.load("stats/samples")).fetchall()


def read_history(conn: Connection) -> History:
    """The samples and the growth over them. Needs the privileges of `read_samples`."""
    with conn.transaction():
        samples = read_samples(conn)
    return History(tuple(samples), tuple(measure_growth(samples)))


def measure_growth(samples: Sequence[Sample]) -> Iterator[Growth]:
    """The growth of every number that is in at least two samples."""
    yield from _growth("database", GrowthUnit.BYTES, samples, [s.database_bytes for s in samples])
    yield from _growth("tables", GrowthUnit.BYTES, samples, [s.table_bytes for s in samples])
    yield from _growth("indexes", GrowthUnit.BYTES, samples, [s.index_bytes for s in samples])
    for group in _keys(sample.group_bytes for sample in samples):
        values = [sample.group_bytes.get(group) for sample in samples]
        yield from _growth(group, GrowthUnit.BYTES, samples, values)
    for name in _keys(sample.counts for sample in samples):
        values = [sample.counts.get(name) for sample in samples]
        yield from _growth(name, GrowthUnit.ROWS, samples, values)


def _growth(
    metric: str, unit: GrowthUnit, samples: Sequence[Sample], values: Sequence[int | None]
) -> Iterator[Growth]:
    known = [
        (sample, value) for sample, value in zip(samples, values, strict=True) if value is not None
    ]
    if len(known) < 2:
        return
    (first_sample, first), (last_sample, last) = known[0], known[-1]
    days = (last_sample.sampled_at - first_sample.sampled_at).total_seconds() / 86400
    yield Growth(
        metric=metric,
        unit=unit,
        first=first,
        last=last,
        change=last - first,
        is_exact=unit is GrowthUnit.BYTES or (first_sample.is_exact and last_sample.is_exact),
        per_day=(last - first) / days if days >= 1 else None,
        values=tuple(value for _, value in known),
    )


def _keys(mappings: Iterable[Mapping[str, int]]) -> list[str]:
    """Every key, in the order of first appearance."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _has_samples(conn: Connection) -> bool:
    return "samples" in own_tables(conn)
