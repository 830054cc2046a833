"""Connecting to the database, fit for a transaction pooler: nothing relies on session state.

What a connection does is the business of `session`: every transaction keeps its contract.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.errors import ConnectError, UsageError
from aperture_db.postgres.driver_errors import (
    lacks_shared_memory,
    translate_connect_error,
    translate_query_error,
)
from aperture_db.postgres.server_messages import DiscreetConnection
from aperture_db.postgres.session import Connection as Connection
from aperture_db.postgres.session import open_session
from aperture_db.postgres.target import Target

APPLICATION_NAME = "aperture-db"
CONNECT_TIMEOUT_SECONDS = 5
MIN_SERVER_VERSION = 140000
RETRY_SECONDS = 0.5
# A pooler may hand out its processes in turn, and others may take one in between.
POOLER_PROBES = 3
CONNECTION_CHECK_INTERVAL = "1s"

MIB = 1 << 20
# A larger graph is built in two steps; the memory of small machines matters more.
MAX_BUILD_BYTES = 512 * MIB
# As pg_dump and pg_get_indexdef write it. What stands between the names is fixed, because a dump
# may contain anything, and the table's name is used in another statement.
HNSW_INDEX = re.compile(
    rb"""\s*CREATE \s INDEX \s (?:[\w$]+|"(?:[^"]|"")+") \s ON \s (?:ONLY \s)?
    (?P<table>(?:(?:[\w$]+|"(?:[^"]|"")+")\.)?(?:[\w$]+|"(?:[^"]|"")+")) \s USING \s hnsw \s \(""",
    re.VERBOSE,
)

TRANSACTION_TIMEOUT_SINCE = 170000
# With these OpenSSL finds the certificate authorities that it trusts.
CA_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

# Notice a dead peer after about 30 + 3 x 10 seconds instead of the system's two hours. Keepalives
# are not sent while data waits to be acknowledged; for those the last one counts (milliseconds).
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


# What psycopg logs are troubles of cleaning up after an error; the error itself is reported.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


def connect(
    target: Target,
    *,
    read_only: bool = False,
    connect_timeout_seconds: int = CONNECT_TIMEOUT_SECONDS,
    wait_seconds: float = 0,
    on_wait: Callable[[ConnectError], None] | None = None,
) -> Connection:
    """Open an autocommit connection; `read_only` makes every transaction on it READ ONLY and
    REPEATABLE READ, which also works on a hot standby. Others are READ COMMITTED whatever the
    database's default, so that work under a lock sees what was committed before the lock. Of
    several servers they take the primary.

    For up to `wait_seconds` an attempt that may succeed later is repeated (refused, name not
    resolved, server starting up, timeout); `on_wait` hears of the first failure. The last
    attempt may take its own timeout longer. Raises ConnectError, or UsageError where libpq
    refuses a setting.
    """
    if "system" in (target.params.get("sslrootcert"), os.environ.get("PGSSLROOTCERT")):
        find_ca_bundle()
    if not read_only:
        target = target.on_primary()
    deadline = time.monotonic() + wait_seconds
    waiting = False
    while True:
        try:
            conn = _connect_once(target, connect_timeout_seconds)
            break
        except ConnectError as error:
            if not error.transient or time.monotonic() + RETRY_SECONDS > deadline:
                raise
            if on_wait and not waiting:
                on_wait(error)
            waiting = True
            time.sleep(RETRY_SECONDS)
    conn.read_only = read_only or None
    level = psycopg.IsolationLevel
    conn.isolation_level = level.REPEATABLE_READ if read_only else level.READ_COMMITTED
    return conn


def _connect_once(target: Target, timeout_seconds: int) -> Connection:
    keywords = KEEPALIVES | dict(target.params)
    keywords |= {
        "application_name": APPLICATION_NAME,
        "client_encoding": "utf8",
        "connect_timeout": str(timeout_seconds),
    }
    try:
        conn = open_session(kind=DiscreetConnection, **keywords)
    except (psycopg.Error, UnicodeError) as error:
        raise translate_connect_error(error, target, timeout_seconds) from error
    try:
        require_server_version(conn.info.server_version, target)
    except ConnectError:
        conn.close()
        raise
    return conn


def require_server_version(version: int, target: Target) -> None:
    """Raise ConnectError when the server is older than the oldest supported one.

    `version` is PostgreSQL's number, 140011 for 14.11.
    """
    if version < MIN_SERVER_VERSION:
        raise ConnectError(
            f"the server at {target} is too old",
            why=f"it is PostgreSQL {version // 10000}, and Aperture needs 14 or newer",
            next_step="upgrade the server, for example to the image pgvector/pgvector:pg16",
            code="server_too_old",
        )


def find_ca_bundle(environ: MutableMapping[str, str] = os.environ) -> None:
    """Point OpenSSL to the CA bundle that Python uses, unless a variable names one already.

    libpq leaves `system` to its OpenSSL. The one inside psycopg's wheel looks into a directory
    that no machine has, and would trust nobody.
    """
    if any(environ.get(name) for name in CA_BUNDLE_VARIABLES):
        return
    paths = ssl.get_default_verify_paths()
    for name, path in zip(CA_BUNDLE_VARIABLES, (paths.cafile, paths.capath), strict=True):
        if path:
            environ[name] = path


@contextmanager
def translated_errors(target: Target, *, writes: bool = False) -> Iterator[None]:
    """Turn driver errors of the block into the tool's own; `writes` tells which GRANT helps."""
    try:
        yield
    except psycopg.Error as error:
        raise translate_query_error(error, target, writes=writes) from error


def is_pooled(conn: Connection) -> bool:
    """Whether a pooler stands between: the process that serves us is not the one that greeted."""
    return _server_process(conn) != conn.info.backend_pid


def require_direct(conn: Connection, what: str) -> None:
    """Raise UsageError when the connection goes through a transaction pooler."""
    if is_pooled(conn):
        raise UsageError(
            f"{what} does not work through a connection pooler",
            why="the pooler hands each statement to whichever server process is free",
            next_step="connect to the server's own port (5432) instead of the pooler's",
            code="pooler",
        )


def require_session(conn: Connection, target: Target, what: str) -> None:
    """Raise UsageError when a pooler lends server processes out for a transaction at a time.

    A pooler that lends one out for a whole session is as good as a direct connection; both look
    alike from one connection. From two they differ: a session's process is nobody else's, but
    what a transaction has used goes to whoever asks next.
    """
    if not is_pooled(conn):
        return
    for _ in range(POOLER_PROBES):
        ours = _server_process(conn)
        with connect(target) as other, other.transaction():
            if _server_process(other) == ours or _server_process(conn) != ours:
                require_direct(conn, what)
                return


def _server_process(conn: Connection) -> int:
    row = conn.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def set_local(conn: Connection, **parameters: str) -> None:
    """Set configuration parameters until the end of the open transaction, in one round trip."""
    conn.execute(
        "SELECT set_config(name, value, true) "
        "FROM unnest(%s::text[], %s::text[]) AS t (name, value)",
        [list(parameters), list(parameters.values())],
    )


def set_for_session(conn: Connection, parameters: Mapping[str, str]) -> None:
    """Set configuration parameters for statements outside a transaction. Not through a pooler."""
    for name, value in parameters.items():
        conn.execute("SELECT pg_catalog.set_config(%s, %s, false)", [name, value])


def allow_long_transaction(conn: Connection) -> None:
    """Turn off the timeouts that the role or the server sets, for the open transaction."""
    parameters = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    if conn.info.server_version >= TRANSACTION_TIMEOUT_SINCE:
        parameters["transaction_timeout"] = "0"
    set_local(conn, **parameters)


def timeout_parameter(seconds: float) -> str:
    """As lock_timeout and statement_timeout take it, where 0 would mean to wait for ever."""
    return f"{max(seconds * 1000, 1):.0f}ms"


def connection_check_interval(conn: Connection) -> str:
    """How often the server shall look whether this client is still there.

    One second frees a dead client's locks at once. 0 where the server's platform can't do it
    (Windows), because setting more is an error there.
    """
    try:
        with conn.transaction():
            set_local(conn, client_connection_check_interval=CONNECTION_CHECK_INTERVAL)
    except psycopg.errors.InvalidParameterValue:
        return "0"
    return CONNECTION_CHECK_INTERVAL


@dataclass(frozen=True)
class BuildMemory:
    """The memory for building an HNSW index of one table.

    Measured with pgvector 0.8: a graph that exceeds maintenance_work_mem takes three times as long
    from then on, and a parallel build takes all of it from /dev/shm at its start.
    """

    value_bytes: int
    row_count: int
    own_bytes: int
    """maintenance_work_mem as the server has it."""
    is_default: bool
    """Nobody has chosen maintenance_work_mem."""
    own_workers: str

    @property
    def need_bytes(self) -> int:
        return hnsw_build_bytes(self.row_count, self.value_bytes)

    @property
    def own_settings(self) -> dict[str, str]:
        return _build_settings(self.own_bytes, self.own_workers)

    def attempts(self) -> list[dict[str, str]]:
        """Settings to build with, each for the case that /dev/shm was too small for the former."""
        fitted_bytes = self.own_bytes
        if self.is_default:
            fitted_bytes = max(self.own_bytes, min(self.need_bytes, MAX_BUILD_BYTES))
        attempts = [_build_settings(fitted_bytes, self.own_workers)]
        if self.own_bytes < fitted_bytes and self.need_bytes <= 2 * self.own_bytes:
            attempts.append(self.own_settings)
        return [*attempts, _build_settings(fitted_bytes, "0")]


def hnsw_build_bytes(row_count: int, value_bytes: int) -> int:
    """The memory that holds the graph of an HNSW index: each vector and about 714 bytes beside it.

    0 for vectors of unknown size.
    """
    if not value_bytes:
        return 0
    return round(row_count * (value_bytes + 720) * 1.05) + 5 * MIB


def _build_settings(memory_bytes: int, workers: str) -> dict[str, str]:
    memory = f"{-(-memory_bytes // 1024)}kB"
    return {"maintenance_work_mem": memory, "max_parallel_maintenance_workers": workers}


def read_build_memory(
    conn: Connection, table_oid: int, row_count: int | None = None
) -> BuildMemory:
    """The need of a table's largest HNSW index; `row_count` where it is known better than from the
    last ANALYZE. Needs no privilege."""
    with conn.cursor(row_factory=class_row(BuildMemory)) as cursor:
        cursor.execute(sql.load("postgres/build_memory"), {"table": table_oid})
        memory = cursor.fetchone()
    if memory is None:
        raise LookupError(f"no table has the oid {table_oid}")
    return memory if row_count is None else replace(memory, row_count=row_count)


def build_index(
    conn: Connection,
    statement: bytes,
    execute: Callable[[Connection, bytes], object] = Connection.execute,
) -> None:
    """Execute CREATE INDEX in the open transaction, an HNSW index with the memory that it needs.

    Where /dev/shm is too small for the parallel workers, less is tried, in the end without them.
    """
    found = HNSW_INDEX.match(statement)
    # Of other indexes only the workers matter.
    table = found["table"] if found else b"pg_catalog.pg_class"
    row = conn.execute("SELECT pg_catalog.to_regclass(%s)::oid", [table.decode()]).fetchone()
    if row is None or row[0] is None:
        execute(conn, statement)
        return
    count = conn.execute(b"SELECT count(*) FROM ONLY " + table).fetchone() if found else (0,)
    assert count is not None
    memory = read_build_memory(conn, row[0], count[0])
    for settings in (attempts := memory.attempts()):
        try:
            with conn.transaction():
                set_local(conn, **settings)
                execute(conn, statement)
            break
        except psycopg.errors.DiskFull as error:
            if settings is attempts[-1] or not lacks_shared_memory(error):
                raise
    set_local(conn, **memory.own_settings)
