"""Every row of a database, for comparing it before and after."""

from __future__ import annotations

import json
from typing import Any, TypeAlias

import psycopg

Row: TypeAlias = dict[str, Any]
Contents: TypeAlias = dict[str, list[Row]]
"""Rows by table; tables outside of the schema public are named with their schema. Those of the
tool's own schema are left out."""

TABLES = """
    SELECT CASE nspname WHEN 'public' THEN relname ELSE nspname || '.' || relname END,
           c.oid::regclass::text
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname NOT IN ('information_schema', 'aperture_db')
        AND nspname !~ '^pg_'
"""


def read_contents(conninfo: str) -> Contents:
    """All rows of all tables, sorted."""
    with psycopg.connect(conninfo) as conn:
        return {name: _read_rows(conn, table) for name, table in conn.execute(TABLES).fetchall()}


def _read_rows(conn: psycopg.Connection, table: str) -> list[Row]:
    row = "to_jsonb(t)"
    if "embeddings" in table:
        # Vectors are long and never change.
        row = "jsonb_build_object('id', id, 'all', md5(t::text))"
    query = f"SELECT {row}::text FROM {table} AS t ORDER BY 1"
    return [json.loads(text) for (text,) in conn.execute(query)]


def counts(contents: Contents) -> dict[str, int]:
    return {table: len(rows) for table, rows in contents.items()}
