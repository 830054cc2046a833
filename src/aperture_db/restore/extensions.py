"""Extensions that a dump needs. They stay as they are; missing ones are made first."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql as identifiers
from psycopg.rows import class_row

from aperture_db import sql
from aperture_db.dumps.contents import DumpContents
from aperture_db.errors import ApertureDbError, FindingError
from aperture_db.extensions import REQUIREMENTS
from aperture_db.postgres.connection import Connection

# Part of every database.
BUILT_IN = {"plpgsql"}
REQUIRED = {requirement.name for requirement in REQUIREMENTS}


@dataclass(frozen=True)
class ExtensionPlan:
    """What becomes of the dump's extensions."""

    to_create: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Present:
    name: str
    schema: str | None
    """None where it is not installed."""
    is_available: bool


def check_extensions(conn: Connection, contents: DumpContents) -> ExtensionPlan:
    """Find which are missing. Raises FindingError where one that Aperture needs can't be had."""
    wanted = {each.name: each.schema for each in contents.extensions if each.name not in BUILT_IN}
    with conn.cursor(row_factory=class_row(_Present)) as cursor:
        found = cursor.execute(sql.load("restore/extensions"), {"names": list(wanted)}).fetchall()
    to_create = []
    left_out = []
    for each in found:
        if each.schema is not None:
            _require_schema(each, wanted[each.name], is_required=each.name in REQUIRED)
        elif each.is_available:
            to_create.append(each.name)
        elif each.name in REQUIRED:
            raise FindingError(
                f"the server does not have the extension {each.name}, which the dump needs",
                why="its files are not among the server's",
                next_step="aperture-db check-extensions says how to get it here",
                code="extension_unavailable",
            )
        else:
            left_out.append(f"extension {each.name}")
    return ExtensionPlan(tuple(to_create), tuple(left_out))


def _require_schema(present: _Present, wanted: str, *, is_required: bool) -> None:
    if is_required and present.schema != wanted:
        raise ApertureDbError(
            f"the extension {present.name} is in the schema {present.schema}, "
            f"and the dump looks for it in {wanted}",
            why="a dump names types with their schema",
            next_step=f"ALTER EXTENSION {present.name} SET SCHEMA {wanted};",
            code="extension_schema",
        )


def create_extensions(
    conn: Connection, contents: DumpContents, names: tuple[str, ...]
) -> tuple[str, ...]:
    """Make the missing extensions in the open transaction, and return those that Aperture does
    not need and that were refused. Raises ApertureDbError for one that it needs."""
    schemas = {each.name: each.schema for each in contents.extensions}
    refused = []
    for name in names:
        statement = identifiers.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}").format(
            identifiers.Identifier(name), identifiers.Identifier(schemas[name])
        )
        try:
            with conn.transaction():
                conn.execute(statement)
        except psycopg.errors.InsufficientPrivilege as error:
            if name not in REQUIRED:
                refused.append(name)
                continue
            raise ApertureDbError(
                f"the extension {name} is not installed, and this user may not install it",
                why=str(error.diag.message_primary),
                next_step=f"as a superuser run: CREATE EXTENSION {name};",
                code="no_privilege",
            ) from error
    return tuple(refused)
