"""Databases with an index that is damaged on the disk, for the tests of backup and health."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.dump_files import execute
from tests.waiting import wait_until

BLOCK_BYTES = 8192
ROW_COUNT = 5001
# The last row has no entry in the primary key: what is not ready for entries gets none.
WITHOUT_ONE_ENTRY = (
    "CREATE TABLE notes (id integer PRIMARY KEY, filler text)",
    "INSERT INTO notes SELECT n, repeat('x', 500) FROM generate_series(1, 5000) AS n",
    "CREATE INDEX notes_filler ON notes (filler DESC, id)",
    "UPDATE pg_index SET indisready = false WHERE indexrelid = 'notes_pkey'::regclass",
    "INSERT INTO notes VALUES (5001, 'not in the index')",
    "UPDATE pg_index SET indisready = true WHERE indexrelid = 'notes_pkey'::regclass",
)
# The block that is overwritten, and with which bytes: an empty page is one that a crash lost.
OVERWRITTEN = {
    "a page is lost": (3, bytes(BLOCK_BYTES)),
    "a page has other bytes": (3, b"damage" * 100),
    "the first page is lost": (0, bytes(BLOCK_BYTES)),
}


def lose_an_entry(conninfo: str) -> None:
    """Make the table notes, of which a count reads the damaged index."""
    execute(conninfo, *WITHOUT_ONE_ENTRY)
    with psycopg.connect(conninfo, autocommit=True) as conn:

        def is_counted_in_the_index() -> bool:
            # Old snapshots may keep VACUUM from marking the pages as visible for all.
            conn.execute("VACUUM (ANALYZE, INDEX_CLEANUP off, DISABLE_PAGE_SKIPPING) notes")
            return conn.execute("SELECT count(*) FROM notes").fetchone() == (ROW_COUNT - 1,)

        wait_until(is_counted_in_the_index, "the table is counted by an index-only scan")


def copy_with_damage(conninfo: str, clone: Callable[[str], str], kind: str) -> str:
    """A copy of the database, which gets a table notes and then, before anybody has opened the
    copy, damage in the file of its primary key."""
    execute(
        conninfo,
        "CREATE TABLE notes (id integer PRIMARY KEY, filler text)",
        f"INSERT INTO notes SELECT n, repeat('x', 500) FROM generate_series(1, {ROW_COUNT}) AS n",
        "VACUUM ANALYZE notes",
    )
    with psycopg.connect(conninfo) as conn:
        row = conn.execute("SELECT pg_relation_filenode('notes_pkey')").fetchone()
    assert row is not None
    filenode = row[0]
    copy = clone(str(conninfo_to_dict(conninfo)["dbname"]))
    with psycopg.connect(copy, dbname="postgres") as admin:
        row = admin.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database WHERE datname = %s",
            [conninfo_to_dict(copy)["dbname"]],
        ).fetchone()
    assert row is not None
    block, content = OVERWRITTEN[kind]
    with (Path(row[0]) / "base" / str(row[1]) / str(filenode)).open("r+b") as file:
        file.seek(block * BLOCK_BYTES)
        file.write(content)
    return copy
