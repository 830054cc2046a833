"""The structure of a database as plain data, beside the structure recorded after each migration.

A structure maps each kind of object to its objects, and each object to its definition. An object
that belongs to a table is named `table.object`; the kinds are the keys of `QUERIES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import TupleRow

from aperture_db.aperture import structure
from aperture_db.aperture.structure import Structure
from tests.conftest import MIGRATION_NAMES

STEPS_FILE = Path(structure.__file__).with_name("steps.jsonl")
FROZEN_FILE = Path(__file__).with_name("frozen.sha256")

# Each query returns names and definitions. They rely on search_path being `public` alone, which
# makes the server print the names of that schema without the schema.
QUERIES: dict[str, LiteralString] = {
    "extensions": """
        SELECT extname, to_jsonb(true)
        FROM pg_extension
        WHERE extname <> 'plpgsql'
    """,
    # The columns in their order, which dropping and adding again changes.
    "tables": """
        SELECT table_name, jsonb_agg(column_name ORDER BY ordinal_position)
        FROM information_schema.columns
        WHERE table_schema = 'public'
        GROUP BY table_name
    """,
    "columns": """
        SELECT
            attrelid::regclass || '.' || attname,
            jsonb_build_array(
                format_type(atttypid, atttypmod),
                CASE WHEN attnotnull THEN 'not null' ELSE 'null' END,
                pg_get_expr(adbin, adrelid)
            )
        FROM pg_attribute
        JOIN pg_tables ON schemaname = 'public' AND attrelid = tablename::regclass
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attnum > 0 AND NOT attisdropped
    """,
    # NOT NULL, a constraint of its own from PostgreSQL 18 on, is told by the column.
    "constraints": """
        SELECT conrelid::regclass || '.' || conname, to_jsonb(pg_get_constraintdef(oid))
        FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype <> 'n'
    """,
    # Without those that a constraint brings, which bear its name.
    "indexes": """
        SELECT indexname, to_jsonb(indexdef)
        FROM pg_indexes
        WHERE schemaname = 'public'
            AND NOT EXISTS (
                SELECT FROM pg_constraint
                WHERE conrelid = tablename::regclass
                    AND conname = indexname
                    AND contype IN ('p', 'u', 'x')
            )
    """,
    "triggers": """
        SELECT tgrelid::regclass || '.' || tgname, to_jsonb(pg_get_triggerdef(oid))
        FROM pg_trigger
        WHERE NOT tgisinternal
    """,
    # Result, language and volatility: what a function does is for the tests of the data.
    "functions": """
        SELECT
            pg_proc.oid::regprocedure::text,
            jsonb_build_array(pg_get_function_result(pg_proc.oid), lanname, provolatile)
        FROM pg_proc
        JOIN pg_language ON pg_language.oid = prolang
        WHERE pronamespace = 'public'::regnamespace
            AND NOT EXISTS (
                SELECT FROM pg_depend
                WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e'
            )
    """,
}


def read_structure(conn: psycopg.Connection[TupleRow]) -> Structure:
    """Read schema `public`, in a transaction of its own (a savepoint inside one)."""
    with conn.transaction():
        conn.execute("SET LOCAL search_path = public")
        return {kind: dict(conn.execute(query).fetchall()) for kind, query in QUERIES.items()}


def recorded_structures() -> Iterator[tuple[str, Structure]]:
    """Name of each migration, in order, with the whole structure after it."""
    current: Structure = {kind: {} for kind in QUERIES}
    for step in structure.read_steps():
        structure.apply_step(current, step)
        yield step["name"], deepcopy(current)


def final_structure() -> Structure:
    """The structure after the last migration.

    Where a new file is not recorded yet, the test is expected to fail: test_structure says what
    to do, and once is enough.
    """
    *_, (name, final) = recorded_structures()
    if name != MIGRATION_NAMES[-1]:
        pytest.xfail(f"{MIGRATION_NAMES[-1]} is not recorded")
    return final


def differences(expected: Structure, found: Structure) -> list[str]:
    """One line for each object that is missing, unexpected, or not as expected."""
    lines: list[str] = []
    for kind in QUERIES:
        for name in sorted(expected[kind].keys() | found[kind].keys()):
            wanted = expected[kind].get(name, "nothing")
            present = found[kind].get(name, "nothing")
            if wanted != present:
                lines.append(f"{kind}: {name}: expected {wanted}, found {present}")
    return lines
