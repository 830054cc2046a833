"""The objects of the database, and those that a dump replaces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from aperture_db import aperture, sql
from aperture_db.dumps.contents import DumpContents, DumpedTable
from aperture_db.dumps.script import DumpEntry, name_in_comments
from aperture_db.errors import ApertureDbError
from aperture_db.format import as_bytes, quote_identifier
from aperture_db.postgres.catalog import (
    Attachment,
    Privileges,
    read_attachments,
    read_privileges,
    without_schema,
)
from aperture_db.postgres.session import Connection

# The tool's own schema is restored like those of Aperture's tables. All other schemas belong to
# other applications.
TOOL_SCHEMA = "aperture_db"
RELATION_KINDS = {"TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "SEQUENCE"}
ROUTINE_KINDS = {"FUNCTION", "PROCEDURE", "AGGREGATE"}
TYPE_KINDS = {"TYPE", "DOMAIN"}
# Views before the tables that they use, functions and types after the tables that use them.
DROP_ORDER = ("VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE", "TABLE", "SEQUENCE", "ROUTINE", "TYPE")


@dataclass(frozen=True)
class DatabaseObject:
    """A table, view, sequence, function or type that no extension owns."""

    class_oid: int
    oid: int
    kind: str
    """TABLE, VIEW, FUNCTION, …"""
    schema: str
    name: str
    identity: str
    """Quoted, with its schema and a function's arguments: ready for a statement."""
    owner: str
    may_drop: bool
    is_visible: bool
    """Found by its bare name, as Aperture finds its tables."""
    is_table: bool
    """It has rows, or partitions with rows."""

    @property
    def drop_kind(self) -> str:
        """The keyword for DROP."""
        return "ROUTINE" if self.kind in ROUTINE_KINDS else self.kind

    def __str__(self) -> str:
        shown = self.name if self.schema == "public" else f"{self.schema}.{self.name}"
        return shown if self.is_table else f"{self.kind.lower()} {shown}"


@dataclass(frozen=True)
class Replacement:
    """The objects of the database that one dump replaces, and the others."""

    replaced: tuple[DatabaseObject, ...]
    """Aperture's, others that are in the dump, and those that are dropped."""
    kept: tuple[DatabaseObject, ...]
    """All others."""
    left_out_schemas: tuple[str, ...]
    """Schemas of the dump that exist in the database and are not Aperture's."""
    dropped: tuple[DatabaseObject, ...] = ()
    """Not in the dump and of unknown origin; dropped by the user's decision."""

    @property
    def replaced_others(self) -> tuple[DatabaseObject, ...]:
        """Not Aperture's, and replaced because they are in the dump."""
        return tuple(
            each
            for each in self.replaced
            if not _is_aperture(each) and each.schema != TOOL_SCHEMA and each not in self.dropped
        )

    @property
    def replaced_tables(self) -> tuple[DatabaseObject, ...]:
        return tuple(each for each in self.replaced if each.is_table)

    @property
    def owner(self) -> str | None:
        """The owner of most replaced objects, for those that are new."""
        owners = Counter(each.owner for each in self.replaced)
        return owners.most_common(1)[0][0] if owners else None

    @property
    def foreign_tables(self) -> tuple[DatabaseObject, ...]:
        """Tables with Aperture's names in a database that is not Aperture's."""
        tables = [each for each in self.replaced if each.is_table and _is_aperture(each)]
        is_apertures = aperture.is_aperture(each.name for each in tables)
        return () if is_apertures else tuple(tables)


def read_objects(conn: Connection) -> tuple[DatabaseObject, ...]:
    """All objects of the schemas that are not PostgreSQL's."""
    with conn.cursor(row_factory=class_row(DatabaseObject)) as cursor:
        return tuple(cursor.execute(sql.compose("restore/objects"), {}))


def divide(
    objects: Iterable[DatabaseObject], contents: DumpContents, schemas: Iterable[str]
) -> Replacement:
    """Decide about each object; `schemas` are those of the database."""
    own = own_schemas(contents)
    dumped = {_key(entry) for entry in contents.entries if entry.schema in own}
    # They are never made from a dump, so the database's own stay.
    dumped -= {_key(entry) for entry in contents.native_functions}
    replaced: list[DatabaseObject] = []
    kept: list[DatabaseObject] = []
    for each in objects:
        in_dump = (
            _family(each.kind),
            name_in_comments(each.schema),
            name_in_comments(each.name),
        ) in dumped
        (replaced if in_dump or _is_aperture(each) else kept).append(each)
    in_dump_schemas = {entry.schema for entry in contents.entries if entry.schema}
    left_out = sorted((in_dump_schemas - own) & set(schemas))
    return Replacement(tuple(replaced), tuple(kept), tuple(left_out))


def own_schemas(contents: DumpContents) -> frozenset[str]:
    """The schemas of the dump that hold Aperture's tables, and the tool's own. A safety backup of a
    database without Aperture has what stood in Aperture's place."""
    return (contents.aperture_schemas or frozenset({"public"})) | {TOOL_SCHEMA}


def _is_aperture(each: DatabaseObject) -> bool:
    if not each.is_visible:
        return False
    if each.kind in ROUTINE_KINDS:
        return each.name in aperture.FUNCTIONS
    return each.kind in RELATION_KINDS and aperture.group_of(each.name) is not None


def _key(entry: DumpEntry) -> tuple[str, str, str]:
    """The key of an entry; a dump names functions with their arguments."""
    name = entry.name.partition("(")[0] if entry.kind in ROUTINE_KINDS else entry.name
    return (_family(entry.kind), entry.schema, name)


def _family(kind: str) -> str:
    """The name space of a kind."""
    if kind in RELATION_KINDS:
        return "relation"
    return "routine" if kind in ROUTINE_KINDS else "type" if kind in TYPE_KINDS else ""


def privileges_on(conn: Connection, objects: Iterable[DatabaseObject]) -> Privileges:
    """The privileges of roles other than the owners."""
    relations = [each.oid for each in objects if each.kind in RELATION_KINDS]
    routines = [each.oid for each in objects if each.kind in ROUTINE_KINDS]
    return read_privileges(conn, relations, routines)


def find_dependents(conn: Connection, objects: Sequence[DatabaseObject]) -> tuple[str, ...]:
    """Other objects that DROP … CASCADE would drop too, as the server describes them."""
    parameters = {
        "class_oids": [each.class_oid for each in objects],
        "oids": [each.oid for each in objects],
    }
    rows = conn.execute(sql.load("restore/dependents"), parameters)
    return tuple(without_schema(conn, row[0]) for row in rows)


@dataclass(frozen=True)
class AttachmentPlan:
    """What hangs on the replaced tables and is not in the dump."""

    every: tuple[Attachment, ...]
    """All of the database, those in the dump and Aperture's own as well."""
    kept: tuple[Attachment, ...]
    """Made again for the restored tables."""
    lost: tuple[str, ...]
    """With the reason, for the user."""


def plan_attachments(
    conn: Connection,
    replacement: Replacement,
    contents: DumpContents,
    apertures: Callable[[Attachment], bool],
) -> AttachmentPlan:
    """Decide what is kept for the restored tables. `apertures` tells what another version of
    Aperture made itself: that is restored from the dump, or is not in this version."""
    every = read_attachments(conn, [each.oid for each in replacement.replaced_tables])
    dumped = {(table.schema, table.name): table for table in contents.tables}
    entries = {(entry.kind, entry.schema, entry.name) for entry in contents.entries}
    kept, lost = [], []
    for each in every:
        table = dumped.get((each.schema, each.table_name))
        if (table and _is_dumped(each, table, entries)) or apertures(each):
            continue
        missing = sorted(set(each.columns) - table.columns) if table and table.columns else []
        if table is None and each.kind != "publication":
            # It is dropped with its table, which the plan names.
            continue
        if table is None:
            lost.append(f"{each} (the table is not in the dump)")
        elif each.kind == "column":
            lost.append(f"{each} (with its values)")
        elif missing:
            lost.append(f"{each} (the dump has no column {missing[0]})")
        elif each.foreign_owner:
            lost.append(f"{each} (only {each.foreign_owner} may add tables to it)")
        else:
            kept.append(each)
    return AttachmentPlan(every, tuple(kept), tuple(lost))


# The kinds of entries; in these, the name of the table stands before that of the object.
ENTRY_KINDS = {
    "constraint": ("CONSTRAINT", "FK CONSTRAINT", "CHECK CONSTRAINT"),
    "index": ("INDEX",),
    "policy": ("POLICY",),
    "rule": ("RULE",),
    "statistics": ("STATISTICS",),
    "trigger": ("TRIGGER",),
}


def _is_dumped(
    each: Attachment, table: DumpedTable, entries: Collection[tuple[str, str, str]]
) -> bool:
    if each.kind == "column":
        return not table.columns or each.name in table.columns
    if each.kind == "constraint" and each.name in table.constraints:
        return True
    bare, of_table = name_in_comments(each.name), name_in_comments(f"{table.name} {each.name}")
    name = bare if each.kind in ("index", "statistics") else of_table
    schema = name_in_comments(each.schema)
    return any((kind, schema, name) in entries for kind in ENTRY_KINDS.get(each.kind, ()))


def give_back(
    conn: Connection, restored: Iterable[DatabaseObject], replaced: Iterable[DatabaseObject]
) -> Iterator[str]:
    """Give each restored object to the owner of the one that it replaces; yields those for which
    this role may not do that, in words."""
    owners = {(each.kind, each.identity): each.owner for each in replaced}
    for each in restored:
        owner = owners.get((each.kind, each.identity), each.owner)
        if owner == each.owner:
            continue
        statement = f"ALTER {each.drop_kind} {each.identity} OWNER TO {quote_identifier(owner)}"
        try:
            with conn.transaction():
                conn.execute(as_bytes(statement))
        except psycopg.errors.InsufficientPrivilege as error:
            reason = error.diag.message_primary
            yield f"{each} belongs to {each.owner} and not to {owner} as before: {reason}"


def require_ownership(replacement: Replacement, role: str) -> None:
    """Raise ApertureDbError for an object that the role may not drop."""
    for each in replacement.replaced:
        if not each.may_drop:
            raise ApertureDbError(
                f"user {role} may not replace {each}",
                why=f"it belongs to {each.owner}",
                next_step=f"connect as {each.owner} or as a superuser",
                code="no_privilege",
            )


def drop_statements(objects: Sequence[DatabaseObject]) -> tuple[str, ...]:
    """DROP statements in a valid order. Call `find_dependents` first: CASCADE is for the
    dependencies among these objects only."""
    statements = []
    for kind in DROP_ORDER:
        identities = [each.identity for each in objects if each.drop_kind == kind]
        if identities:
            statements.append(f"DROP {kind} IF EXISTS {', '.join(identities)} CASCADE")
    return tuple(statements)
