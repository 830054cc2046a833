"""What a restore would do, after everything that can be checked without changing anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aperture_db.dumps.contents import MIGRATIONS_TABLE, DumpContents, DumpedTable, count_rows
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.migrations.directory import bundled_directory
from aperture_db.postgres import catalog
from aperture_db.postgres.connection import Connection, set_local, timeout_parameter
from aperture_db.restore.extensions import check_extensions
from aperture_db.restore.objects import (
    DatabaseObject,
    Division,
    divide,
    find_dependents,
    own_schemas,
    read_objects,
)
from aperture_db.restore.others import Others
from aperture_db.restore.selection import describe_left_out
from aperture_db.restore.server import Server, read_server, require_ownership, require_schemas
from aperture_db.restore.sessions import (
    OtherSession,
    read_sessions,
    require_no_prepared_transactions,
)


@dataclass(frozen=True)
class RestorePlan:
    """Everything that is shown before a restore, and what it then works with."""

    contents: DumpContents
    server: Server
    division: Division = field(metadata={"json": False})
    replaced_tables: tuple[str, ...]
    replaced_row_count: int
    """Exact, at the time of the plan."""
    current_migration: str | None
    """The newest one that the database records."""
    replaced_others: tuple[str, ...]
    """What is replaced although it is not Aperture's: the dump has it."""
    dropped: tuple[str, ...]
    """What goes with --others drop."""
    kept: tuple[str, ...]
    """What stays although it is not in the dump: somebody else's."""
    left_out: tuple[str, ...]
    """What the dump has and the restore leaves out."""
    create_extensions: tuple[str, ...]
    owner: str
    """The role that will own what is restored."""
    sessions: tuple[OtherSession, ...]
    warnings: tuple[str, ...]

    @property
    def is_database_empty(self) -> bool:
        return not self.division.replaced and not self.division.kept

    @property
    def tables(self) -> tuple[DumpedTable, ...]:
        """The dump's tables that are restored."""
        left_out = self.division.left_out_schemas
        return tuple(table for table in self.contents.tables if table.schema not in left_out)

    @property
    def row_count(self) -> int | None:
        """The rows of these tables, where the dump tells how many there are."""
        return count_rows(self.tables)

    @property
    def missing_schemas(self) -> tuple[str, ...]:
        """Those that have to be made for the dump's tables and extensions."""
        wanted = {table.schema for table in self.tables}
        for extension in self.contents.extensions:
            if extension.name in self.create_extensions:
                wanted.add(extension.schema)
        return tuple(sorted(wanted - set(self.server.schemas)))

    @property
    def gone_tables(self) -> tuple[str, ...]:
        """Aperture's tables that the dump does not have."""
        dumped = {(table.schema, table.name) for table in self.tables}
        return tuple(
            str(each)
            for each in self.division.replaced_tables
            if (each.schema, each.name) not in dumped and each not in self.division.dropped
        )


def plan(
    conn: Connection,
    contents: DumpContents,
    *,
    others: Others | None = None,
    lock_timeout_seconds: float,
) -> RestorePlan:
    """Compare the dump with the database. Writes nothing and locks nothing against others.

    Raises what speaks against the restore, whatever the user may confirm: ApertureDbError for
    missing rights or objects of others that depend on what goes, FindingError for a missing
    extension, UsageError where `others` has to be decided.
    """
    sessions = read_sessions(conn)
    with conn.transaction():
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        server = read_server(conn)
        require_no_prepared_transactions(conn)
        migrations = _read_migrations(conn)
        division = settle(conn, contents, server.schemas, migrations, others)
        require_ownership(server, division)
        extensions = check_extensions(conn, contents)
        planned = RestorePlan(
            contents=contents,
            server=server,
            division=division,
            replaced_tables=tuple(str(each) for each in division.replaced_tables),
            replaced_row_count=_count_rows(conn, division.replaced_tables),
            current_migration=migrations[-1] if migrations else None,
            replaced_others=tuple(str(each) for each in division.replaced_others),
            dropped=tuple(str(each) for each in division.dropped),
            kept=tuple(str(each) for each in division.kept),
            left_out=describe_left_out(contents, division.left_out_schemas) + extensions.left_out,
            create_extensions=extensions.to_create,
            owner=division.owner or server.role,
            sessions=sessions,
            warnings=_warnings(conn, contents, server),
        )
        schemas = {table.schema for table in planned.tables}
        require_schemas(conn, server, planned.owner, schemas, planned.missing_schemas)
    return planned


def settle(
    conn: Connection,
    contents: DumpContents,
    schemas: Sequence[str],
    migrations: Sequence[str],
    others: Others | None,
) -> Division:
    """Divide what is in the database, and refuse where that can't be done safely."""
    division = divide(read_objects(conn), contents, schemas)
    division = _decide_about_others(division, contents, migrations, others)
    if dependents := find_dependents(conn, division.replaced):
        raise ApertureDbError(
            "objects of somebody else depend on Aperture's tables",
            why="they would have to be dropped along: " + "; ".join(dependents),
            next_step="drop them, restore, and make them again afterwards "
            "(pg_dump --schema-only has their definitions)",
            code="dependent_objects",
        )
    return division


def _decide_about_others(
    division: Division,
    contents: DumpContents,
    migrations: Sequence[str],
    others: Others | None,
) -> Division:
    """A newer Aperture may have made tables that this tool does not know: then the user decides,
    because left where they are they keep that Aperture from migrating again."""
    own = own_schemas(contents) | {each.schema for each in division.replaced}
    doubtful = tuple(each for each in division.kept if each.schema in own)
    if others is Others.DROP:
        kept = tuple(each for each in division.kept if each not in doubtful)
        replaced = division.replaced + doubtful
        return Division(replaced, kept, division.left_out_schemas, dropped=doubtful)
    known = {path.name for path in bundled_directory().glob("*.sql")} | set(contents.migrations)
    unknown = sorted(set(migrations) - known)
    if doubtful and unknown and others is None:
        raise UsageError(
            "it is not clear whose these tables are: " + ", ".join(map(str, doubtful)),
            why=f"the database has seen {unknown[-1]}, which this version of aperture-db does not "
            "know and the dump has not, so they may be a newer Aperture's or somebody else's",
            next_step="say it with --others drop (a newer Aperture's) or --others keep",
            code="undecided_tables",
        )
    return division


def _read_migrations(conn: Connection) -> tuple[str, ...]:
    """The names that the database records, in order; none without the table."""
    exists = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [MIGRATIONS_TABLE]).fetchone()
    if exists != (True,):
        return ()
    names = conn.execute('SELECT name FROM aperture_migrations ORDER BY name COLLATE "C"')
    return tuple(row[0] for row in names)


def _count_rows(conn: Connection, tables: Sequence[DatabaseObject]) -> int:
    oids = {each.oid for each in tables if each.kind == "TABLE"}
    countable = [table for table in catalog.read_tables(conn) if table.oid in oids]
    return sum(catalog.count_rows(conn, countable).values())


def _warnings(conn: Connection, contents: DumpContents, server: Server) -> tuple[str, ...]:
    warnings = []
    server_major = conn.info.server_version // 10_000
    if contents.server_major and contents.server_major > server_major:
        warnings.append(
            f"the dump comes from PostgreSQL {contents.server_major} and the server is "
            f"{server.version}: if it has what this server does not know, nothing is restored"
        )
    if without := [str(table) for table in contents.tables if not table.has_data]:
        warnings.append("the dump was made without the rows of " + ", ".join(without))
    return tuple(warnings)
