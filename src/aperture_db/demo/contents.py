"""What the demo's server holds: a database with every migration and the sample library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from aperture_db import sample
from aperture_db import sql as queries
from aperture_db.demo.report import Step
from aperture_db.migrations.apply import Started, apply_files
from aperture_db.migrations.directory import bundled_directory, read_directory
from aperture_db.migrations.locking import Limits
from aperture_db.migrations.plan import plan
from aperture_db.postgres.connection import Connection, connect, translated_errors
from aperture_db.postgres.target import Target

MIGRATION_LIMITS = Limits(lock_wait_seconds=60, lock_timeout_seconds=5)


def create_contents(maintenance: Target, target: Target, backups: Path) -> Iterator[Step]:
    """Create the database that `target` names, through the server's database `maintenance`.

    `backups` becomes the directory of its backups: Aperture's own one is in a container.
    """
    with translated_errors(target):
        with connect(maintenance) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(
                    sql.Identifier(target.database)
                )
            )
        with connect(target) as conn:
            conn.execute(queries.load("demo/statistics_extension"))
            yield from migrate(conn, target)
            yield from _fill(conn)
            conn.execute(queries.load("demo/backup_path"), {"path": str(backups)})
            yield Step("Collecting statistics for the planner")
            conn.execute(queries.load("demo/vacuum"))


def make_durable(target: Target) -> None:
    """Let the server take up its new configuration, and write out what it has in memory."""
    with translated_errors(target), connect(target) as conn:
        conn.execute(queries.load("demo/reload"))
        conn.execute(queries.load("demo/checkpoint"))


def migrate(conn: Connection, target: Target) -> Iterator[Step]:
    """Apply the bundled migrations that are pending."""
    with translated_errors(target):
        planned = plan(conn, target, read_directory(bundled_directory()))
        total = len(planned.files)
        events = apply_files(conn, target, planned.files, MIGRATION_LIMITS)
        started = (event for event in events if isinstance(event, Started))
        for done, event in enumerate(started):
            yield Step("Applying the migrations", event.name, done, total)


def _fill(conn: Connection) -> Iterator[Step]:
    phase = "Filling in the sample library"
    yield Step(phase)
    # Nobody uses the database yet, and the demo is there seconds earlier.
    for done, event in enumerate(sample.fill(conn, indexes_last=True), start=1):
        if isinstance(event, sample.TableFilled):
            yield Step(phase, event.table, done)
