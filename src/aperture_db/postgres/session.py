"""The session contract: nothing in a database, a role or a name changes what the tool sees or runs.

Every transaction of the tool's own is opened here, in one round trip, with every setting on which
the meaning or the life of a statement depends. The settings are SET LOCAL: a plain SET would reach
other clients of a pooler.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, LiteralString, Self, cast

import psycopg
from psycopg import _encodings as encodings
from psycopg import sql
from psycopg.abc import AdaptContext, Buffer, Params
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import Row, RowFactory, TupleRow
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from aperture_db import ANY_BYTES

CANCEL_TIMEOUT_SECONDS = 5
# More tables than Aperture has.
COUNTS_AT_ONCE = 200

SERVER_KEEPALIVES: Mapping[str, str] = {
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
CONTRACT: Mapping[str, str] = {
    # First, because it also decides how the server writes the path.
    "quote_all_identifiers": "off",
    # Whoever may create in a schema of the path could define an operator or function that fits
    # better than PostgreSQL's own. Tables and extensions are named with their schemas instead.
    "search_path": "pg_catalog, pg_temp",
    # Rows that a policy hides are an error, never a smaller count.
    "row_security": "off",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "backslash_quote": "safe_encoding",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "xmloption": "content",
    # What a statement reports is part of its result: VACUUM tells by a WARNING that it skipped.
    "client_min_messages": "notice",
    # A GIN search may otherwise leave rows out.
    "gin_fuzzy_search_limit": "0",
    # The defaults of a role or database decide nothing about what the tool creates.
    "default_tablespace": "",
    "default_table_access_method": "heap",
    "check_function_bodies": "on",
}
# With these, a count of all rows reads the table.
TABLE_SCANS: Mapping[str, str] = {"enable_seqscan": "on", "enable_indexonlyscan": "off"}
# The business of the command, which sets its own after this.
TIMEOUTS: Mapping[str, str] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # A client whose network vanished holds its locks for a minute instead of two hours. Longer than
    # the client's own timeout, and long enough for a reader whose disk stalls. No effect on sockets
    # of the file system.
    **SERVER_KEEPALIVES,
}
# By the first server version that knows them; others refuse an unknown parameter.
TIMEOUTS_SINCE: Mapping[int, Mapping[str, str]] = {170000: {"transaction_timeout": "0"}}

ORIGINAL_PATH = (
    "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_schemas(false)::text[]"
)
# NULL for a transaction that has written nothing.
CURRENT_TRANSACTION = "SELECT pg_catalog.pg_current_xact_id_if_assigned()::text"
SYSTEM_SCHEMA = re.compile(r"pg_|information_schema\Z")


@dataclass(frozen=True)
class OriginalPath:
    """The search_path of the role and database, as the tool found it."""

    setting: str
    """As SET takes it."""
    schemas: tuple[str, ...]
    """Those that exist and that the role may use, in order."""

    @property
    def entries(self) -> tuple[str, ...]:
        """All names of the setting, "$user" too, whether there are such schemas or not."""
        names = re.findall(r'"((?:[^"]|"")*)"|([^\s,"]+)', self.setting)
        plain = (quoted.replace('""', '"') or bare.lower() for quoted, bare in names)
        return tuple(name for name in plain if name)

    @property
    def named(self) -> tuple[str, ...]:
        """`entries` without "$user"."""
        return tuple(name for name in self.entries if name != "$user")

    @property
    def creation_schema(self) -> str | None:
        """Where CREATE without a schema creates lasting tables; None if nowhere."""
        for name in self.entries:
            is_own = name == "$user" and self.schemas and self.schemas[0] not in self.entries
            if is_own or name == "pg_temp" or name in self.schemas:
                found = self.schemas[0] if is_own else name
                return None if SYSTEM_SCHEMA.match(found) else found
        return None


def timeouts_of(version: int) -> dict[str, str]:
    """The timeouts that a server of this version has (160004 for 16.4), lifted."""
    timeouts = dict(TIMEOUTS)
    for since, settings in TIMEOUTS_SINCE.items():
        if version >= since:
            timeouts |= settings
    return timeouts


def set_statement(settings: Mapping[str, str]) -> str:
    """SET LOCAL of these settings: lists of identifiers as they are, other values quoted."""
    lists = ("search_path", "DateStyle")
    values = {name: value if name in lists else f"'{value}'" for name, value in settings.items()}
    return ";".join(f"SET LOCAL {name} = {value}" for name, value in values.items())


# The driver knows no other way to choose a codec, and would give bytes of SQL_ASCII.
encodings.py_codecs[b"SQLASCII"] = ANY_BYTES
encodings.pg2pyenc.cache_clear()
# A day from Python's own limits: a change of the time zone must not pass them.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
TEXT_TYPES = (0, "text", "name", "varchar", "bpchar", '"char"')


class TextLoader(Loader):
    """Text of any bytes: also the names of roles and databases, whose encoding is that of the
    database in which somebody made them."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        name = self.connection.info.encoding if self.connection else ANY_BYTES
        # A dump sets the client encoding that it is written in.
        self._encoding = "utf-8" if name == ANY_BYTES else name

    def load(self, data: Buffer) -> str:
        """Decode one value."""
        return str(data, self._encoding, "surrogateescape")


class TimeLoader(TimestamptzLoader):
    """Times of any year: `EARLIEST` and `LATEST` stand for those that Python has no room for."""

    def load(self, data: Buffer) -> datetime:
        """Read one value."""
        try:
            return super().load(data)
        except psycopg.DataError:
            return EARLIEST if re.match(rb"-|.* BC$", bytes(data)) else LATEST


class Cursor(psycopg.Cursor[Any]):
    """Runs a statement outside a transaction within one of its own."""

    def execute(
        self,
        query: Any,
        params: Params | None = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """Execute a statement under the contract."""
        connection = cast("Connection", self.connection)
        needed = connection.transaction() if connection.needs_transaction else nullcontext()
        try:
            with needed:
                return super().execute(query, params, prepare=prepare, binary=binary)
        except UnicodeEncodeError as error:
            what = "a name or value has bytes that are not valid UTF-8, the database's encoding"
            raise psycopg.errors.CharacterNotInRepertoire(what) from error


class Connection(psycopg.Connection[TupleRow]):
    """A connection whose every transaction keeps the session contract.

    It autocommits: a statement outside a transaction gets one of its own, except through
    `execute_alone`. It leaves no statement running on the server when an exception ends its
    `with` block: psycopg cancels on KeyboardInterrupt while it waits for the server, but an
    interruption at any other moment would only close the connection, which a busy server does
    not notice.
    """

    schema = "public"
    """The schema of the tables that queries name as {schema}.table; set by whoever knows it."""
    settle: Callable[[str], None] | None = None
    """Told the id of a transaction whose COMMIT was not answered: returns if it was committed,
    else raises."""
    _path: OriginalPath | None = None
    _is_alone = False

    @property
    def needs_transaction(self) -> bool:
        """Whether a statement now would run outside the contract."""
        return not self._is_alone and self.info.transaction_status is TransactionStatus.IDLE

    @property
    def contract(self) -> dict[str, str]:
        """The settings of every transaction. Any other client encoding than its own makes the
        server refuse, in a database without one, what is no text in it."""
        is_ascii = self.info.parameter_status("server_encoding") == "SQL_ASCII"
        return {**CONTRACT, "client_encoding": "SQL_ASCII" if is_ascii else "UTF8"}

    @property
    def original_path(self) -> OriginalPath:
        """The search_path that Aperture itself works with. Reads it once per connection."""
        if self._path is None:
            with self.transaction():
                pass
        assert self._path is not None
        return self._path

    def use_original_search_path(self) -> None:
        """Give the open transaction the original search_path, until its end or `renew_contract`:
        migration files and dumps name things as psql would find them."""
        setting = self.original_path.setting
        self.execute("SELECT pg_catalog.set_config('search_path', %s, true)", [setting])

    @contextmanager
    def original_search_path(self) -> Iterator[None]:
        """The original search_path for the block, within the open transaction."""
        self.use_original_search_path()
        yield
        self.renew_contract()

    @contextmanager
    def without_index_only_scans(self) -> Iterator[None]:
        """Count rows in the tables themselves for the block: an index that lacks entries would
        hide rows. Locks that the block takes are released with it."""
        with self.transaction(force_rollback=True):
            self.execute(set_statement(TABLE_SCANS).encode())
            yield

    def fetch_counts(self, counts: Sequence[sql.Composed]) -> list[TupleRow]:
        """The rows of these SELECTs, in one round trip and so from one snapshot.

        More than COUNTS_AT_ONCE are several statements, which give their locks back: thousands of
        tables and their indexes would need more than max_locks_per_transaction allows by default,
        and one statement over all of them more stack than max_stack_depth.
        """
        rows: list[TupleRow] = []
        gives_locks_back = len(counts) > COUNTS_AT_ONCE
        for start in range(0, len(counts), COUNTS_AT_ONCE):
            statement = sql.SQL("\nUNION ALL\n").join(counts[start : start + COUNTS_AT_ONCE])
            with self.transaction(force_rollback=True) if gives_locks_back else nullcontext():
                rows += self.execute(statement)
        return rows

    def renew_contract(self) -> None:
        """Set everything but timeouts again in the open transaction, after statements that were
        not ours."""
        self.execute(set_statement(self.contract).encode())

    def execute_alone(self, statement: LiteralString | sql.Composed) -> psycopg.Cursor[TupleRow]:
        """Execute a statement that PostgreSQL refuses in a transaction, VACUUM for example.

        No setting protects it: it must name everything with its schema, and use no operator or
        function.
        """
        self._is_alone = True
        try:
            return self.execute(statement)
        finally:
            self._is_alone = False

    @contextmanager
    def transaction(  # type: ignore[override]
        self, savepoint_name: str | None = None, force_rollback: bool = False
    ) -> Iterator[None]:
        """A transaction that keeps the contract, or a savepoint within one."""
        if self.info.transaction_status is not TransactionStatus.IDLE:
            with super().transaction(savepoint_name, force_rollback):
                yield
            return
        self.begin()
        try:
            yield
        except psycopg.Rollback:
            self.rollback()
        except BaseException:
            with suppress(psycopg.Error):
                self.rollback()
            raise
        else:
            self.rollback() if force_rollback else self._commit()

    def _commit(self) -> None:
        transaction_id = None
        if self.settle and self.info.transaction_status is TransactionStatus.INTRANS:
            row = self.execute(CURRENT_TRANSACTION).fetchone()
            transaction_id = row[0] if row else None
        try:
            self.commit()
        except psycopg.OperationalError:
            if not (self.settle and transaction_id and self.broken):
                raise
            self.settle(transaction_id)

    def begin(self) -> None:
        """Open a transaction that somebody else ends. Elsewhere `transaction` is the way."""
        cursor = psycopg.Cursor(self)
        cursor.execute(self._opening().encode())
        self._read_path(cursor)

    def ask(self, query: sql.Composed, row_factory: RowFactory[Row]) -> psycopg.Cursor[Row]:
        """The rows of a query without parameters. Outside of a transaction it gets one of its
        own, and everything takes one round trip."""
        cursor: psycopg.Cursor[Any] = psycopg.Cursor(self)
        if not self.needs_transaction:
            cursor.row_factory = row_factory
            return cursor.execute(query)
        try:
            cursor.execute(sql.SQL("{};{};COMMIT").format(sql.SQL(self._opening()), query))
        except psycopg.Error:
            if not self.closed:
                self.rollback()
            raise
        self._read_path(cursor)
        # The last result is that of COMMIT.
        cursor.set_result(-2)
        cursor.row_factory = row_factory
        return cursor

    def _opening(self) -> LiteralString:
        """The statements that open a transaction; the second one reads the path if need be."""
        isolation = self.isolation_level or psycopg.IsolationLevel.READ_COMMITTED
        level = isolation.name.replace("_", " ")
        # A standby refuses READ WRITE, and default_transaction_read_only is a wish to be heard.
        access = " READ ONLY" if self.read_only else ""
        statements = [
            f"BEGIN ISOLATION LEVEL {level}{access} NOT DEFERRABLE",
            *([ORIGINAL_PATH] if self._path is None else ()),
            set_statement({**self.contract, **timeouts_of(self.info.server_version)}),
        ]
        return ";".join(statements)

    def _read_path(self, cursor: psycopg.Cursor[Any]) -> None:
        if self._path is None:
            cursor.set_result(1)
            row = cursor.fetchone()
            assert row is not None
            self._path = OriginalPath(row[0], tuple(row[1]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.closed and self.info.transaction_status is TransactionStatus.ACTIVE:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_TIMEOUT_SECONDS)
            self.close()
        super().__exit__(kind, error, traceback)


def open_session(
    conninfo: str = "", *, kind: type[Connection] = Connection, **keywords: str
) -> Connection:
    """Connect under the contract. Raises the driver's errors."""
    conn = kind.connect(
        conninfo,
        autocommit=True,
        prepare_threshold=None,
        cursor_factory=Cursor,
        **keywords,  # type: ignore[arg-type]
    )
    for name in TEXT_TYPES:
        conn.adapters.register_loader(name, TextLoader)
    conn.adapters.register_loader("timestamptz", TimeLoader)
    set_json_loads(lambda data: json.loads(str(cast("bytes", data), ANY_BYTES)), conn)
    if conn.contract["client_encoding"] == "SQL_ASCII":
        # For `execute_alone`, and for the quoting of names. A pooler that lends servers out for a
        # transaction hands this setting to each of them.
        conn.execute_alone("SET client_encoding = 'SQL_ASCII'")
    return conn
