"""The catalog's answers that other features rely on."""

from __future__ import annotations

from collections.abc import Callable

from aperture_db.aperture import Group, group_of, is_aperture
from aperture_db.postgres.activity import read_exclusive_locks
from aperture_db.postgres.catalog import (
    read_foreign_keys,
    read_tables,
    visible_tables,
)
from tests.servers.roles import Rights
from tests.stats.conftest import Open, OpenPlain


def test_foreign_keys(aperture_database: Callable[[], str], reader: Open) -> None:
    conn = reader(aperture_database())
    names = {table.oid: table.name for table in read_tables(conn)}
    keys = read_foreign_keys(conn)
    row = conn.execute("SELECT count(*) FROM pg_constraint WHERE contype = 'f'").fetchone()
    assert row == (len(keys),)
    # Those of the final schema without a usable index; partial ones on IS NOT NULL are usable.
    assert {(names[key.table_oid], *key.columns) for key in keys if not key.is_indexed} == {
        ("recommendation_evidence", "similar_movie_id"),
        ("api_errors", "job_id"),
        ("discovery_requests", "discovery_candidate_id"),
        ("playlists", "channel_share_id"),
        ("recommendation_runs", "channel_id"),
    }
    [episodes] = [key for key in keys if names[key.table_oid] == "episodes"]
    assert names[episodes.referenced_oid] == "series"
    assert (episodes.columns, episodes.referenced_columns) == (["series_id"], ["id"])
    assert episodes.on_delete == "CASCADE"


def test_foreign_key_of_two_columns(
    new_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = new_database()
    writer(conninfo).execute("""
        CREATE TABLE whole (a int, b int, PRIMARY KEY (a, b));
        CREATE TABLE covered (x int, b int, a int);
        ALTER TABLE covered ADD FOREIGN KEY (a, b) REFERENCES whole NOT VALID;
        CREATE INDEX ON covered (b, a, x);
        CREATE TABLE uncovered (a int, b int);
        ALTER TABLE uncovered ADD FOREIGN KEY (a, b) REFERENCES whole ON DELETE SET NULL;
        CREATE INDEX ON uncovered (a);
        CREATE INDEX ON uncovered (a, b) WHERE a > 5;
    """)
    covered, uncovered = read_foreign_keys(reader(conninfo))
    assert (covered.columns, covered.is_indexed) == (["a", "b"], True)
    assert (uncovered.on_delete, uncovered.is_indexed) == ("SET NULL", False)


def test_privileges(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str], reader: Open
) -> None:
    conninfo = sample_database()

    def rights(role: Rights) -> tuple[bool, ...]:
        table = visible_tables(read_tables(reader(limited_role(conninfo, role))))["movies"]
        return (table.may_select, table.may_delete, table.may_truncate, table.is_owner)

    assert rights("none") == (False, False, False, False)
    assert rights("read") == (True, False, False, False)
    assert rights("write") == (True, True, False, False)
    assert rights("owner") == (True, True, True, True)


def test_locks_on_parts_of_a_table(
    sample_database: Callable[[], str], reader: Open, writer: OpenPlain
) -> None:
    conninfo = sample_database()
    conn, holder = reader(conninfo), writer(conninfo)
    oids = {table.oid: table.name for table in read_tables(conn)}
    with holder.transaction():
        holder.execute("REINDEX INDEX episodes_pkey")
        holder.execute("ALTER TABLE users SET (toast.autovacuum_enabled = off)")
        locks = read_exclusive_locks(conn)
    locked = {oids[lock.table_oid] for lock in locks if lock.table_oid in oids}
    assert "episodes" in locked
    assert all(lock.session and lock.session.pid == holder.info.backend_pid for lock in locks)
    assert all(lock.is_held for lock in locks)


def test_every_table_of_aperture_has_a_group(
    aperture_database: Callable[[], str], database_at: Callable[[str], str], reader: Open
) -> None:
    for conninfo in (aperture_database(), database_at("0077")):
        names = visible_tables(read_tables(reader(conninfo)))
        assert is_aperture(names)
        assert [name for name in names if group_of(name) is None] == []
    assert group_of("embeddings_legacy") is Group.EMBEDDINGS
    assert group_of("embeddings_backup") is None
