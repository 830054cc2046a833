"""Starts, stops and deletes the demo. Several runs at once take turns.

A demo that was not finished, because its making was killed, is recognised and made anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from aperture_db.demo.contents import create_contents, make_durable, migrate
from aperture_db.demo.home import (
    DemoHome,
    DemoState,
    Lock,
    find_home,
    translated_os_errors,
    write_private,
)
from aperture_db.demo.report import Origin, Ready, Step, Stopped
from aperture_db.demo.url import DATABASE, make_url, new_password, with_port
from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.embedded import Cluster, free_port, is_port_free
from aperture_db.postgres.settings import resolve_target
from aperture_db.postgres.target import Target

PORT_TRIES = 3
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


def start() -> Iterator[Step | Ready]:
    """Make the demo run: find it running, start it, or create it. The last item is Ready."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield from _start(home, lock)


def stop() -> Iterator[Step | Stopped]:
    """Stop the demo's server, if there is one; the last item is Stopped."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        yield Stopped(_stop(home), home.directory)


def reset() -> Iterator[Step | Ready]:
    """Delete the demo, whatever was done to it, and make a new one. The last item is Ready."""
    home = find_home()
    with _exclusive(home) as lock:
        yield from _wait_for(lock)
        if home.read_state() is not DemoState.ABSENT:
            yield Step("Deleting the demo")
            _delete(home)
        yield from _start(home, lock)


@contextmanager
def _exclusive(home: DemoHome) -> Iterator[Lock]:
    with translated_os_errors(home), home.lock() as lock:
        yield lock


def _wait_for(lock: Lock) -> Iterator[Step]:
    if not lock.try_to_obtain():
        yield Step("Waiting for another run of aperture-db demo")
        lock.wait()


def _start(home: DemoHome, lock: Lock) -> Iterator[Step | Ready]:
    state = home.read_state()
    if state is DemoState.COMPLETE and home.has_current_data() and home.url_file.exists():
        yield from _start_complete(home)
        return
    if state is not DemoState.ABSENT:
        yield Step("Deleting an unfinished or outdated demo")
        _delete(home)
    yield from _create(home, lock)


def _start_complete(home: DemoHome) -> Iterator[Step | Ready]:
    url = home.url_file.read_text().strip()
    cluster = home.cluster(int(_target(home, url).port))
    origin = Origin.FOUND_RUNNING
    if cluster.is_running():
        running_port = cluster.running_port
        assert running_port is not None
        cluster = replace(cluster, port=running_port)
    else:
        yield Step("Starting the server")
        origin = Origin.STARTED
        cluster = _start_on_free_port(cluster)
    url = with_port(url, cluster.port)
    write_private(home.url_file, f"{url}\n")
    target = _target(home, url)
    if origin is Origin.STARTED:
        with connect(target) as conn:
            yield from migrate(conn, target)
    yield Ready(origin, target, home.url_file, home.directory)


def _create(home: DemoHome, lock: Lock) -> Iterator[Step | Ready]:
    yield Step("Preparing PostgreSQL")
    cluster = home.cluster()
    try:
        home.make_directory()
        yield Step("Creating a database server")
        password = new_password()
        # Until it is complete, a crash of the machine leaves nothing worth keeping anyway.
        settings = SERVER_SETTINGS | {"fsync": "off"}
        cluster.create(password, settings=settings, inherited=[lock.descriptor])
        cluster = _start_on_free_port(cluster)
        url = make_url(password, cluster.port, DATABASE)
        write_private(home.url_file, f"{url}\n")
        maintenance = _target(home, make_url(password, cluster.port, "postgres"))
        target = _target(home, url)
        yield from create_contents(maintenance, target, home.backups)
        cluster.configure({"fsync": "on"})
        make_durable(target)
        cluster.sync()
        home.write_state(DemoState.COMPLETE)
    except BaseException:
        # An interruption too: nothing half made may stay behind, least of all a server.
        _delete(home)
        raise
    yield Ready(Origin.CREATED, target, home.url_file, home.directory)


def _start_on_free_port(cluster: Cluster) -> Cluster:
    """Start on the port of last time if it is free; retry where another program is faster."""
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
    """Whether there was a server to stop."""
    cluster = _running_cluster(home)
    if cluster:
        cluster.stop()
    return cluster is not None


def _delete(home: DemoHome) -> None:
    if cluster := _running_cluster(home):
        cluster.stop(gently=False)
    home.delete()


def _running_cluster(home: DemoHome) -> Cluster | None:
    if home.read_state() is DemoState.ABSENT or not home.data.exists():
        return None
    cluster = home.cluster()
    return cluster if cluster.is_running() else None


def _target(home: DemoHome, url: str) -> Target:
    target = resolve_target(url, None, environ={}, directory=home.directory)
    return replace(target, source=str(home.url_file))
