"""The work of `everything`: Aperture's tables and functions are dropped and the recorded migrations
applied again, within one transaction.

What belongs to others stays, and so do the owners and privileges of what is made anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from psycopg import sql
from psycopg.rows import class_row

from aperture_db import sql as queries
from aperture_db.aperture.schema import locate
from aperture_db.aperture.tables import FUNCTIONS, MIGRATIONS_TABLE, group_of
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.format import list_some, plural, quote_identifier
from aperture_db.migrations import State
from aperture_db.migrations.directory import (
    DIRECTORY_VARIABLE,
    MigrationDirectory,
    MigrationFile,
    check_files,
    refuse,
)
from aperture_db.migrations.names import find_creations
from aperture_db.migrations.status import collect, read_environment, require_known_version
from aperture_db.migrations.transaction import (
    FIRST_PAUSE_SECONDS,
    LOCK_KEY,
    StatementError,
    record,
    run_script,
)
from aperture_db.postgres import catalog
from aperture_db.postgres.activity import find_advisory_holders
from aperture_db.postgres.catalog import (
    Attachment,
    Privileges,
    RelationKind,
    Table,
    read_privileges,
    set_privileges,
)
from aperture_db.postgres.connection import is_pooled
from aperture_db.postgres.session import Connection
from aperture_db.progress import Progress
from aperture_db.purge.assessment import Assessment, assess_rebuild
from aperture_db.purge.guards import (
    UserDataKeeper,
    WriteCounters,
    locks_for,
    not_as_planned,
    read_write_counters,
    require_locked,
    require_untouched,
    take_locks,
)
from aperture_db.purge.report import Preparation
from aperture_db.purge.selection import PurgeSelection, whole_selection


@dataclass(frozen=True)
class Function:
    oid: int
    name: str
    signature: str
    """Name and argument types, as DROP FUNCTION takes them."""
    owner: str
    is_owner: bool


@dataclass(frozen=True)
class OwnedObjects:
    """Aperture's tables and functions; everything else in the database belongs to others."""

    tables: tuple[Table, ...]
    functions: tuple[Function, ...]
    others: tuple[Table, ...]


@dataclass(frozen=True)
class Access:
    """Owners by the names of tables and functions, and the privileges of other roles on these."""

    table_owners: dict[str, str]
    function_owners: dict[str, str]
    privileges: Privileges

    @property
    def main_owner(self) -> str:
        """The owner of objects that the rebuild creates and that did not exist before."""
        return self.table_owners[MIGRATIONS_TABLE]


def find_owned_objects(conn: Connection, files: Iterable[MigrationFile]) -> OwnedObjects:
    """Find objects whose name some version of Aperture uses, or one of the `files` creates."""
    created: dict[str, set[str]] = {"TABLE": set(), "FUNCTION": set()}
    for file in files:
        for statement in file.statements:
            for made in find_creations(statement, file.text):
                created.setdefault(made.kind, set()).add(made.name)
    tables = catalog.read_tables(conn)
    own = tuple(
        table
        for table in tables
        if table.is_visible
        and table.kind in (RelationKind.TABLE, RelationKind.PARTITIONED)
        and (group_of(table.name) is not None or table.name in created["TABLE"])
    )
    return OwnedObjects(
        tables=own,
        functions=_read_functions(conn, FUNCTIONS | created["FUNCTION"]),
        others=tuple(table for table in tables if table not in own),
    )


def drop(conn: Connection, objects: OwnedObjects) -> None:
    """Drop them. Not CASCADE: objects of others that depend on them must not be lost unseen.

    Needs ownership of each.
    """
    tables = sql.SQL(", ").join(table.identifier for table in objects.tables)
    conn.execute(sql.SQL("DROP TABLE {}").format(tables))
    if objects.functions:
        functions = sql.SQL(", ").join(sql.SQL(each.signature) for each in objects.functions)
        conn.execute(sql.SQL("DROP FUNCTION {}").format(functions))


def read_access(conn: Connection, objects: OwnedObjects) -> Access:
    return Access(
        {table.name: table.owner for table in objects.tables},
        {function.signature: function.owner for function in objects.functions},
        _privileges_on(conn, objects),
    )


def restore_access(conn: Connection, objects: OwnedObjects, access: Access) -> None:
    """Give the rebuilt objects to their former owners, and grant again what was granted.

    `objects` are those of now. Needs the right to set the owners' roles.
    """
    for table in objects.tables:
        owner = access.table_owners.get(table.name, access.main_owner)
        if owner != table.owner:
            statement = sql.SQL("ALTER TABLE {} OWNER TO {}")
            conn.execute(statement.format(table.identifier, sql.Identifier(owner)))
    for function in objects.functions:
        owner = access.function_owners.get(function.signature, access.main_owner)
        if owner != function.owner:
            statement = sql.SQL("ALTER FUNCTION {} OWNER TO {}")
            conn.execute(statement.format(sql.SQL(function.signature), sql.Identifier(owner)))
    set_privileges(conn, now=_privileges_on(conn, objects), wanted=access.privileges)


def _privileges_on(conn: Connection, objects: OwnedObjects) -> Privileges:
    return read_privileges(
        conn,
        [table.oid for table in objects.tables],
        [function.oid for function in objects.functions],
    )


def _read_functions(conn: Connection, names: Iterable[str]) -> tuple[Function, ...]:
    with conn.cursor(row_factory=class_row(Function)) as cursor:
        return tuple(cursor.execute(queries.compose("purge/functions"), {"names": sorted(names)}))


MOST_NAMED = 5


@dataclass(frozen=True)
class Rebuildable:
    """A database of which every part can be created again."""

    files: tuple[MigrationFile, ...]
    """Those that are recorded, in the order in which they apply."""
    objects: OwnedObjects

    @property
    def selection(self) -> PurgeSelection:
        """All rows of all of Aperture's tables."""
        return whole_selection(self.objects.tables, self.objects.others)


def require_rebuildable(conn: Connection, directory: MigrationDirectory, role: str) -> Rebuildable:
    """Raise ApertureDbError unless Aperture's part can be dropped and created again as it is."""
    environment = read_environment(conn)
    status = collect(conn, directory, environment)
    require_known_version(status)
    applied = set(status.names(State.APPLIED))
    if unknown := status.names(State.UNKNOWN):
        raise _refused(
            f"{plural(len(unknown), 'recorded migration')} not in the migration directory: "
            f"{list_some(unknown, MOST_NAMED)}",
            "a newer Aperture or a branch applied them, and only their files say how to build "
            "this schema",
            f"export {DIRECTORY_VARIABLE}=DIR with the migrations of that Aperture",
            "migration_not_at_hand",
        )
    if not applied:
        raise _refused(
            "no migrations are recorded",
            "a rebuild applies the recorded migrations again",
            "aperture-db migrate",
            "no_aperture",
        )
    files = tuple(file for file in directory.files if file.name in applied)
    if outside := [file.name for file in files if not file.in_transaction]:
        raise _refused(
            f"{list_some(outside, MOST_NAMED)} cannot run within a transaction",
            "the whole rebuild runs in one transaction, so that a failure loses nothing",
            "create a new database with: aperture-db migrate",
            "not_in_transaction",
        )
    if not directory.is_bundled:
        refuse(check_files(directory, files, pooled=is_pooled(conn)))
    objects = find_owned_objects(conn, files)
    if trouble := locate(conn).find_trouble(creates=True):
        raise _refused(trouble.what, trouble.why, trouble.next_step, "search_path")
    _require_rights(objects, environment.schema, environment.may_create, role)
    _require_independence(conn, objects)
    _require_keepable(_read_attachments(conn, objects))
    return Rebuildable(files, objects)


class RebuildWork:
    """Locks, counts again, rebuilds and verifies, in this order and within one transaction.

    What belongs to others stays, and so do the owners and privileges of what is made anew.
    """

    def __init__(
        self, directory: MigrationDirectory, preparation: Preparation, user_data: UserDataKeeper
    ) -> None:
        self._user_data = user_data
        self._directory = directory
        self._preparation = preparation
        self._rebuildable: Rebuildable
        self._access: Access
        self._counters: dict[int, WriteCounters]
        self._attachments: tuple[Attachment, ...]

    def lock(self, conn: Connection, timeout_seconds: float) -> None:
        """Keep other runners of migrations out, then lock every table of Aperture."""
        _lock_out_runners(conn, timeout_seconds)
        locks = self._preparation.locks
        take_locks(conn, locks, timeout_seconds)
        role = self._preparation.role
        self._rebuildable = require_rebuildable(conn, self._directory, role)
        require_locked(locks_for(self._rebuildable.selection), locks)

    def assess(self, conn: Connection) -> Assessment:
        self._counters = read_write_counters(conn)
        self._access = read_access(conn, self._rebuildable.objects)
        self._attachments = _read_attachments(conn, self._rebuildable.objects)
        return assess_rebuild(conn, self._rebuildable.selection, self._preparation.sizes)

    def act(self, conn: Connection) -> Iterator[Progress]:
        files = self._rebuildable.files
        yield Progress("dropping Aperture's tables and functions", 0, len(files))
        self._user_data.act(conn)
        drop(conn, self._rebuildable.objects)
        conn.execute(queries.compose("migrations/create_table"))
        for count, file in enumerate(files):
            yield Progress(f"applying {file.name}", count, len(files))
            _apply(conn, file)
        rebuilt = find_owned_objects(conn, files)
        restore_access(conn, rebuilt, self._access)
        _attach(conn, catalog.missing(self._attachments, _read_attachments(conn, rebuilt)))

    def verify(self, conn: Connection, *, counters_work: bool) -> None:  # noqa: ARG002
        """Raise unless the records are as before and no other table was touched."""
        rebuilt = require_rebuildable(conn, self._directory, self._preparation.role)
        if rebuilt.files != self._rebuildable.files:
            raise not_as_planned("the migrations recorded now are not those of before")
        both = (*self._rebuildable.objects.tables, *rebuilt.objects.tables)
        concerned = {table.oid for table in both}
        require_untouched(self._counters, read_write_counters(conn), concerned)


def _require_rights(objects: OwnedObjects, schema: str | None, may_create: bool, role: str) -> None:
    quoted = quote_identifier(role)
    tables = [table.identifier.as_string() for table in objects.tables if not table.is_owner]
    functions = [each.signature for each in objects.functions if not each.is_owner]
    for kind, names in (("table", tables), ("function", functions)):
        if names:
            raise _refused(
                f"role {role} does not own {list_some(names, MOST_NAMED)}",
                f"only the owner can drop a {kind}",
                "connect as the owner or as a superuser",
                "no_privilege",
            )
    if not may_create:
        raise _refused(
            f"role {role} may not create tables",
            f"it lacks CREATE on schema {schema}",
            f"as the owner of the database run: GRANT CREATE ON SCHEMA "
            f"{quote_identifier(schema or 'public')} TO {quoted};",
            "no_privilege",
        )


def _require_independence(conn: Connection, objects: OwnedObjects) -> None:
    parameters = {
        "tables": [table.oid for table in objects.tables],
        "functions": [function.oid for function in objects.functions],
    }
    rows = conn.execute(queries.load("purge/dependents"), parameters).fetchall()
    if dependents := [catalog.without_schema(conn, str(row[0])) for row in rows]:
        raise _refused(
            f"{list_some(dependents, MOST_NAMED)} depend on Aperture's tables",
            "dropping the tables would also drop objects that are not Aperture's",
            "drop them, and create them again afterwards",
            "dependents",
        )


def _read_attachments(conn: Connection, objects: OwnedObjects) -> tuple[Attachment, ...]:
    return catalog.read_attachments(conn, [table.oid for table in objects.tables])


def _require_keepable(attachments: Iterable[Attachment]) -> None:
    """Raise ApertureDbError for a publication that only its owner can add the new tables to."""
    for each in attachments:
        if each.foreign_owner:
            raise _refused(
                f"{each} would be lost",
                f"only {each.foreign_owner} may add tables to the publication {each.name}",
                f"connect as {each.foreign_owner} or as a superuser",
                "no_privilege",
            )


def _attach(conn: Connection, attachments: Iterable[Attachment]) -> None:
    """Make again what users and other applications added to the tables. Raises ApertureDbError
    for what the new tables do not take, and nothing is purged then."""
    for each, reason in catalog.attach(conn, attachments):
        raise _refused(
            f"{each} could not be kept",
            reason,
            f"drop it, purge, then create it again: {each.statement}",
            "attachment_lost",
        )


def _refused(reason: str, why: str, next_step: str, code: str) -> ApertureDbError:
    return ApertureDbError(
        f"purge refused, nothing was changed: {reason}", why=why, next_step=next_step, code=code
    )


def _lock_out_runners(conn: Connection, timeout_seconds: float) -> None:
    """Take the advisory lock that all runners of migrations share. Raises BusyError."""
    deadline = time.monotonic() + timeout_seconds
    query = "SELECT pg_try_advisory_xact_lock(%s)"
    while conn.execute(query, [LOCK_KEY]).fetchone() != (True,):
        if time.monotonic() > deadline:
            holders = find_advisory_holders(conn, LOCK_KEY)
            raise BusyError(
                "migrations are being applied, nothing was changed",
                why=f"held by {holders[0]}" if holders else "another run of migrate has the lock",
                next_step="wait until they are done, then run the command again",
            )
        time.sleep(FIRST_PAUSE_SECONDS)


def _apply(conn: Connection, file: MigrationFile) -> None:
    """Run a file with its record, as migrate does, but in the transaction that is open."""
    record(conn, file.name)
    conn.use_original_search_path()
    try:
        run_script(conn, file)
    except StatementError as failure:
        # The whole purge is rolled back, so that the advice of migrate would be wrong.
        failure.cause.add_note(f"while {file.name} was applied")
        raise failure.cause from failure
    conn.execute("RELEASE SAVEPOINT aperture_db_guard")
    conn.renew_contract()
