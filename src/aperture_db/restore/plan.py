"""Plans a restore: its options, every check that is possible without a change, and the results."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from psycopg import sql as identifiers

from aperture_db import sql
from aperture_db.aperture import MIGRATIONS_TABLE
from aperture_db.backup.directory import BackupDirectory, choose_directory, require_writable
from aperture_db.backup.settings import BackupSettings
from aperture_db.dumps.contents import DumpContents, DumpedTable, count_rows
from aperture_db.dumps.script import name_in_comments
from aperture_db.errors import ApertureDbError, UsageError
from aperture_db.format import list_some, quote_identifier
from aperture_db.migrations.directory import bundled_directory
from aperture_db.postgres import catalog
from aperture_db.postgres.catalog import OBJECT_KINDS, Attachment
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.session import Connection
from aperture_db.restore import OtherTables
from aperture_db.restore.filter import StatementFilter, describe_left_out, make_filter
from aperture_db.restore.objects import (
    AttachmentPlan,
    DatabaseObject,
    Replacement,
    divide,
    find_dependents,
    own_schemas,
    plan_attachments,
    read_objects,
    require_ownership,
)
from aperture_db.restore.server import (
    OtherSession,
    TargetServer,
    check_extensions,
    read_server,
    read_sessions,
    require_no_prepared_transactions,
    require_schemas,
)

REFUSED = "restore refused, nothing was changed"


@dataclass(frozen=True)
class RestorePlan:
    """The plan that is shown before a restore and carried out by it."""

    contents: DumpContents
    server: TargetServer
    replacement: Replacement = field(metadata={"json": False})
    replaced_tables: tuple[str, ...]
    replaced_row_count: int
    """Exact when the plan was made."""
    current_migration: str | None
    """The last one that the database records."""
    replaced_others: tuple[str, ...]
    """Replaced objects that are not Aperture's: they are in the dump, too."""
    dropped: tuple[str, ...]
    """Objects dropped by --others drop."""
    kept: tuple[str, ...]
    """Objects of others that are kept, as they are not in the dump."""
    attachments: AttachmentPlan = field(metadata={"json": False})
    kept_attachments: tuple[str, ...]
    """Indexes, triggers, publications and more that users added to Aperture's tables."""
    lost_attachments: tuple[str, ...]
    """Those that cannot be kept, with the reason."""
    left_out: tuple[str, ...]
    """Parts of the dump that are not restored."""
    create_extensions: tuple[str, ...]
    owner: str
    """The role that will own the restored objects."""
    sessions: tuple[OtherSession, ...]
    warnings: tuple[str, ...]

    @property
    def is_database_empty(self) -> bool:
        return not self.replacement.replaced and not self.replacement.kept

    @property
    def tables(self) -> tuple[DumpedTable, ...]:
        """The dump's tables that are restored."""
        left_out = self.replacement.left_out_schemas
        return tuple(table for table in self.contents.tables if table.schema not in left_out)

    @property
    def row_count(self) -> int | None:
        """The rows of these tables; None where the dump does not tell."""
        return count_rows(self.tables)

    @property
    def unavailable(self) -> frozenset[tuple[str, str]]:
        """Settings of the dump that name a tablespace or an access method, with that name, which
        the server lacks or this role may not use."""
        there = {
            "default_tablespace": {"", *self.server.tablespaces},
            "default_table_access_method": self.server.access_methods,
        }
        return frozenset(
            (name, value)
            for name, value in self.contents.settings
            if name in there and value not in there[name]
        )

    @property
    def filter(self) -> StatementFilter:
        return make_filter(self.contents, self.replacement.left_out_schemas, self.unavailable)

    @property
    def missing_schemas(self) -> tuple[str, ...]:
        """Schemas to create for whatever is restored, and for the extensions."""
        tables = {table.schema for table in self.tables}
        # Comments on the entries spell a few names differently.
        others = {entry.schema for entry in self.contents.entries if self.filter.takes(entry)}
        extensions = {
            extension.schema
            for extension in self.contents.extensions
            if extension.name in self.create_extensions
        }
        wanted = tables | (others - set(map(name_in_comments, tables))) | extensions
        return tuple(sorted(wanted - set(self.server.schemas)))

    @property
    def gone_tables(self) -> tuple[str, ...]:
        """Aperture's tables that are not in the dump."""
        dumped = {(table.schema, table.name) for table in self.tables}
        return tuple(
            str(each)
            for each in self.replacement.replaced_tables
            if (each.schema, each.name) not in dumped and each not in self.replacement.dropped
        )


def plan(
    conn: Connection,
    contents: DumpContents,
    *,
    others: OtherTables | None = None,
    lock_timeout_seconds: float,
) -> RestorePlan:
    """Compare the dump with the database. Takes ACCESS SHARE locks only.

    Raises ApertureDbError for missing privileges and for objects of others that depend on
    replaced ones, FindingError for a missing extension, BusyError for prepared transactions,
    UsageError where the user has to decide about `others`.
    """
    sessions = read_sessions(conn)
    with conn.transaction():
        set_local(conn, lock_timeout=timeout_parameter(lock_timeout_seconds))
        server = read_server(conn)
        records = (table for table in catalog.read_tables(conn) if table.name == MIGRATIONS_TABLE)
        catalog.require_all_rows(conn, (table for table in records if table.is_visible), REFUSED)
        require_no_prepared_transactions(conn)
        migrations = _read_migrations(conn)
        replacement = settle(conn, contents, server.schemas, migrations, others)
        require_ownership(replacement, server.role)
        extensions = check_extensions(conn, contents)
        attachments = plan_attachments(
            conn, replacement, contents, _made_by_aperture(contents, migrations)
        )
        planned = RestorePlan(
            contents=contents,
            server=server,
            replacement=replacement,
            replaced_tables=tuple(str(each) for each in replacement.replaced_tables),
            replaced_row_count=_count_rows(conn, replacement.replaced_tables),
            current_migration=migrations[-1] if migrations else None,
            replaced_others=tuple(str(each) for each in replacement.replaced_others),
            dropped=tuple(str(each) for each in replacement.dropped),
            kept=tuple(str(each) for each in replacement.kept),
            attachments=attachments,
            kept_attachments=tuple(str(each) for each in attachments.kept),
            lost_attachments=attachments.lost,
            left_out=describe_left_out(contents, replacement.left_out_schemas)
            + extensions.left_out,
            create_extensions=extensions.to_create,
            owner=replacement.owner or server.role,
            sessions=sessions,
            warnings=_warnings(conn, contents, server),
        )
        further = (*_lacking(planned), *_replication(conn, planned))
        planned = replace(planned, warnings=planned.warnings + further)
        schemas = {table.schema for table in planned.tables}
        require_schemas(conn, server, planned.owner, schemas, planned.missing_schemas)
    return planned


def settle(
    conn: Connection,
    contents: DumpContents,
    schemas: Sequence[str],
    migrations: Sequence[str],
    others: OtherTables | None,
) -> Replacement:
    """Decide which objects are replaced. Raises ApertureDbError or UsageError where that is not
    possible safely."""
    replacement = divide(read_objects(conn), contents, schemas)
    if not migrations and not contents.is_safety_backup:
        replacement = _decide_about_foreign_tables(replacement, others)
    replacement = _decide_about_others(replacement, contents, migrations, others)
    if dependents := find_dependents(conn, replacement.replaced):
        raise ApertureDbError(
            "other objects depend on Aperture's tables",
            why="they would have to be dropped, too: " + "; ".join(dependents),
            next_step="drop them, restore, and create them again afterwards "
            "(pg_dump --schema-only writes their definitions)",
            code="dependent_objects",
        )
    return replacement


def _decide_about_foreign_tables(
    replacement: Replacement, others: OtherTables | None
) -> Replacement:
    """Let the user decide about tables with Aperture's names in a database that is not Aperture's:
    they are another application's, or the rest of a broken Aperture."""
    foreign = replacement.foreign_tables
    if not foreign:
        return replacement
    if others is OtherTables.DROP:
        return replace(replacement, dropped=foreign)
    raise UsageError(
        "this is not Aperture's database, and it has tables in the way",
        why=f"{list_some(map(str, foreign))} have Aperture's names, and no migration is recorded",
        next_step=(
            "give Aperture a database of its own: CREATE DATABASE aperture;",
            "or, if they are the rest of a broken Aperture, drop them: add --others drop",
        ),
        code="names_in_use",
    )


def _decide_about_others(
    replacement: Replacement,
    contents: DumpContents,
    migrations: Sequence[str],
    others: OtherTables | None,
) -> Replacement:
    """Let the user decide about tables that this tool does not know: a newer Aperture may have
    created them, and cannot migrate again while they exist."""
    own = own_schemas(contents) | {each.schema for each in replacement.replaced}
    doubtful = tuple(each for each in replacement.kept if each.schema in own)
    if others is OtherTables.DROP:
        kept = tuple(each for each in replacement.kept if each not in doubtful)
        replaced = replacement.replaced + doubtful
        return Replacement(
            replaced, kept, replacement.left_out_schemas, dropped=replacement.dropped + doubtful
        )
    known = {path.name for path in bundled_directory().glob("*.sql")} | set(contents.migrations)
    unknown = sorted(set(migrations) - known)
    if doubtful and unknown and others is None:
        raise UsageError(
            "tables of unknown origin: " + ", ".join(map(str, doubtful)),
            why=f"the database records {unknown[-1]}, which is unknown to this version of "
            "aperture-db and not in the dump, so a newer Aperture may have created them",
            next_step="add --others drop (tables of a newer Aperture) or --others keep (tables of "
            "another application)",
            code="undecided_tables",
        )
    return replacement


# Names that PostgreSQL gives to constraints without one.
AUTOMATIC_NAME = re.compile(r"\w+_(?:pkey|key|fkey|check|excl)\d*")


def _made_by_aperture(
    contents: DumpContents, migrations: Sequence[str]
) -> Callable[[Attachment], bool]:
    """Tell whether some version of Aperture made an attachment that the dump does not have.

    Its name stands in a migration file. An automatic name stands nowhere: at the same migrations it
    would be in the dump, at others it is taken for Aperture's.
    """
    is_same_version = set(contents.migrations) == set(migrations)
    files = bundled_directory().glob("*.sql")
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    words = set(re.findall(r"\w+", re.sub(r"--.*", "", text)))

    def is_apertures(each: Attachment) -> bool:
        if each.comment is not None:
            quoted = each.comment.replace("'", "''")
            return f"'{quoted}'" in text
        if each.kind == "constraint" and AUTOMATIC_NAME.fullmatch(each.name):
            return not is_same_version
        return each.kind in OBJECT_KINDS and each.name in words

    return is_apertures


def _read_migrations(conn: Connection) -> tuple[str, ...]:
    """The recorded names, sorted; none without the table."""
    table = identifiers.Identifier(conn.schema, MIGRATIONS_TABLE)
    exists = conn.execute("SELECT to_regclass(%s) IS NOT NULL", [table.as_string(conn)]).fetchone()
    if exists != (True,):
        return ()
    names = conn.execute(
        identifiers.SQL('SELECT name FROM {} ORDER BY name COLLATE "C"').format(table)
    )
    return tuple(row[0] for row in names)


def _count_rows(conn: Connection, tables: Sequence[DatabaseObject]) -> int:
    oids = {each.oid for each in tables if each.kind == "TABLE"}
    countable = [table for table in catalog.read_tables(conn) if table.oid in oids]
    catalog.require_all_rows(conn, countable, REFUSED)
    counts = [identifiers.SQL("SELECT count(*) FROM {}").format(t.identifier) for t in countable]
    with conn.without_index_only_scans():
        return sum(count for (count,) in conn.fetch_counts(counts))


def _warnings(conn: Connection, contents: DumpContents, server: TargetServer) -> tuple[str, ...]:
    warnings = []
    server_major = conn.info.server_version // 10_000
    if contents.server_major and contents.server_major > server_major:
        warnings.append(
            f"the dump comes from PostgreSQL {contents.server_major} and the server is "
            f"{server.version}: if it uses a newer feature, the restore fails and changes nothing"
        )
    tables = [table for table in contents.tables if not table.is_partitioned]
    if without := [str(table) for table in tables if not table.has_data]:
        warnings.append("the dump was made without the rows of " + ", ".join(without))
    return tuple(warnings)


def _replication(conn: Connection, planned: RestorePlan) -> Iterator[str]:
    """What a restore means for logical replication, on the subscriber and on the publisher."""
    oids = [each.oid for each in planned.replacement.replaced_tables]
    for (name,) in conn.execute(sql.load("restore/subscriptions"), {"tables": oids}):
        subscription = quote_identifier(name)
        yield (
            f"the subscription {name} loses the restored tables: afterwards, run "
            f"ALTER SUBSCRIPTION {subscription} REFRESH PUBLICATION WITH (copy_data = false);"
        )
    published = {each.name for each in planned.attachments.kept if each.kind == "publication"}
    for name in sorted(published):
        yield (
            f"subscribers of the publication {name} keep the rows of before: afterwards, empty the "
            "tables on each and create its subscription again"
        )


def _lacking(planned: RestorePlan) -> Iterator[str]:
    """What the dump needs and this server does not have, and what becomes of it."""
    kinds = {"default_tablespace": "tablespace", "default_table_access_method": "access method"}
    defaults = {"default_tablespace": "default one", "default_table_access_method": "heap"}
    for name, value in sorted(planned.unavailable):
        yield (
            f"the {kinds[name]} {value} is not there, or this role may not use it: what the dump "
            f"has in it is created with the {defaults[name]}"
        )
    present = {name_in_comments(each.name) for each in planned.replacement.kept}
    for entry in sorted(planned.contents.native_functions, key=lambda entry: entry.name):
        if entry.name.partition("(")[0] not in present:
            yield (
                f"the function {entry.name} is written in C, and such functions are never made "
                "from a dump: create it first where the dump's tables or indexes use it"
            )


def safety_directory(settings: BackupSettings | None, option: Path | None, dump: Path) -> Path:
    """The directory of --dir, else Aperture's where it exists here, else the dump's.

    Raises ApertureDbError when it does not exist or no file can be created in it.
    """
    directory = choose_directory(option, settings)
    if not directory.is_chosen and not directory.path.is_dir():
        directory = BackupDirectory(dump.absolute().parent, "the dump's directory", is_chosen=True)
    require_writable(directory)
    return directory.path
