"""Starts, stops, resets and removes the demo. Runs at the same time wait for each other.

A demo left unfinished by a killed run is recognised and created again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from psycopg import sql

from aperture_db import sample
from aperture_db import sql as queries
from aperture_db.demo.home import (
    DATABASE,
    DemoHome,
    DemoState,
    Lock,
    Origin,
    Ready,
    Removed,
    Stopped,
    find_home,
    make_url,
    new_password,
    translated_os_errors,
    with_port,
)
from aperture_db.errors import ApertureDbError
from aperture_db.migrations.apply import apply_files
from aperture_db.migrations.directory import bundled_directory, read_directory
from aperture_db.migrations.status import plan
from aperture_db.migrations.transaction import LockLimits
from aperture_db.new_files import replace_file
from aperture_db.postgres.connection import connect, translated_errors
from aperture_db.postgres.embedded import Cluster, free_port, is_port_free
from aperture_db.postgres.session import Connection
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target
from aperture_db.progress import Event, Phase, Progress

PORT_TRIES = 3
MIGRATION_LIMITS = LockLimits(lock_wait_seconds=60, lock_timeout_seconds=5)
SERVER_SETTINGS = {
    # A crash may cost the demo's last second, but never its consistency.
    "synchronous_commit": "off",
    "shared_preload_libraries": "pg_stat_statements",
    "shared_buffers": "64MB",
    "max_connections": "40",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "timezone": "UTC",
}


def start() -> Iterator[Event | Ready]:
    """Start the demo, and create it first where there is none. The last item is Ready."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield from _start(home, lock)


def stop() -> Iterator[Event | Stopped]:
    """Stop the demo's server if it is running. The last item is Stopped."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield Stopped(_stop(home), home.directory)


def reset() -> Iterator[Event | Ready]:
    """Delete the demo and create a new one. The last item is Ready."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield from _create(home, lock, "deleting the demo")


def remove() -> Iterator[Event | Removed]:
    """Stop the server and delete the demo with its programs. The last item is Removed."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield Phase("deleting the demo")
        if cluster := home.running_cluster():
            cluster.stop(gently=False)
        yield Removed(home.remove(), home.root)


@contextmanager
def _exclusive(home: DemoHome) -> Iterator[Lock]:
    with translated_os_errors(home), home.lock() as lock:
        yield lock


def _wait_for(lock: Lock) -> Iterator[Event]:
    if not lock.try_to_obtain():
        yield Phase("waiting for another run of aperture-db demo")
        lock.wait()


def _start(home: DemoHome, lock: Lock) -> Iterator[Event | Ready]:
    is_complete = home.read_state() is DemoState.COMPLETE
    if is_complete and home.has_current_data() and home.url_file.exists():
        yield from _start_complete(home)
    else:
        yield from _create(home, lock, "deleting an unfinished or outdated demo")


def _start_complete(home: DemoHome) -> Iterator[Event | Ready]:
    url = home.url_file.read_text().strip()
    cluster = home.cluster(int(_target(home, url).port))
    origin = Origin.FOUND_RUNNING
    if cluster.is_running():
        running_port = cluster.running_port
        assert running_port is not None
        cluster = replace(cluster, port=running_port)
    else:
        yield Phase("starting the server")
        origin = Origin.STARTED
        cluster = _start_on_free_port(cluster)
    url = with_port(url, cluster.port)
    replace_file(home.url_file, f"{url}\n")
    target = _target(home, url)
    if origin is Origin.STARTED:
        with connect(target) as conn:
            yield from _migrate(conn, target)
    yield Ready(origin, target, home.url_file, home.directory)


def _create(home: DemoHome, lock: Lock, deletion: str) -> Iterator[Event | Ready]:
    """Create the demo; an existing one is deleted first, in a phase named `deletion`."""
    exists = home.read_state() is not DemoState.ABSENT
    try:
        if exists:
            yield Phase(deletion)
            _delete(home)
        yield Phase("preparing PostgreSQL")
        cluster = home.cluster()
        home.make_directory()
        yield Phase("creating a database server")
        password = new_password()
        # Until it is complete, a crash of the machine leaves nothing worth keeping anyway.
        settings = SERVER_SETTINGS | {"fsync": "off"}
        cluster.create(password, settings=settings, inherited=[lock.descriptor])
        cluster = _start_on_free_port(cluster)
        url = make_url(password, cluster.port, DATABASE)
        replace_file(home.url_file, f"{url}\n")
        maintenance = _target(home, make_url(password, cluster.port, "postgres"))
        target = _target(home, url)
        yield from _create_contents(maintenance, target, home.backups)
        cluster.configure({"fsync": "on"})
        _make_durable(target)
        cluster.sync()
        home.write_state(DemoState.COMPLETE)
    except BaseException:
        # An interruption too: no unfinished demo may be left, least of all a running server.
        _delete(home)
        raise
    yield Ready(Origin.CREATED, target, home.url_file, home.directory)


def _start_on_free_port(cluster: Cluster) -> Cluster:
    """Start on the last port if it is free; retry where another program took the port first."""
    for attempt in range(1, PORT_TRIES + 1):
        is_usable = cluster.port and is_port_free(cluster.port)
        placed = cluster if is_usable else replace(cluster, port=free_port())
        try:
            placed.start()
        except ApertureDbError:
            if attempt == PORT_TRIES or is_port_free(placed.port):
                raise
        else:
            return placed
    raise AssertionError("not reached")


def _stop(home: DemoHome) -> bool:
    """Stop the server; False where none was running."""
    cluster = home.running_cluster()
    if cluster:
        cluster.stop()
    return cluster is not None


def _delete(home: DemoHome) -> None:
    if cluster := home.running_cluster():
        cluster.stop(gently=False)
    home.delete()


def _target(home: DemoHome, url: str) -> Target:
    target = resolve_target(url, None, environ={}, directory=home.directory)
    return replace(target, source=str(home.url_file))


def _create_contents(maintenance: Target, target: Target, backups: Path) -> Iterator[Event]:
    """Create the database that `target` names, through the server's database `maintenance`.

    `backups` becomes its backup directory, as Aperture's default is a path in a container.
    """
    with translated_errors(target):
        with connect(maintenance) as conn:
            database = sql.Identifier(target.database)
            conn.execute_alone(sql.SQL("CREATE DATABASE {}").format(database))
        with connect(target) as conn:
            conn.execute(queries.load("demo/statistics_extension"))
            yield from _migrate(conn, target)
            yield from _fill(conn)
            conn.execute(queries.compose("demo/backup_path"), {"path": str(backups)})
            yield Phase("collecting planner statistics")
            conn.execute_alone("VACUUM (ANALYZE)")


def _make_durable(target: Target) -> None:
    """Reload the server's configuration and run a checkpoint."""
    with translated_errors(target), connect(target) as conn:
        conn.execute(queries.load("demo/reload"))
        conn.execute(queries.load("demo/checkpoint"))


def _migrate(conn: Connection, target: Target) -> Iterator[Event]:
    """Apply the bundled migrations that are pending."""
    with translated_errors(target):
        planned = plan(conn, target, read_directory(bundled_directory()))
        phase = "applying migrations"
        if planned.files:
            yield Phase(phase)
        for event in apply_files(conn, target, planned.files, MIGRATION_LIMITS):
            if isinstance(event, Progress):
                yield replace(event, text=f"{phase}: {event.text}")


def _fill(conn: Connection) -> Iterator[Event]:
    phase = "loading the sample library"
    yield Phase(phase)
    # Nobody uses the database yet, and building the indexes last saves seconds.
    for done, event in enumerate(sample.fill(conn, indexes_last=True), start=1):
        if isinstance(event, sample.TableFilled):
            yield Progress(f"{phase}: {event.table}", done)
