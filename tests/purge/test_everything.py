"""`everything`: what `migrate` makes on an empty database, with all that is not Aperture's kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.conftest import MIGRATION_NAMES, MIGRATIONS
from tests.migrations.structure import read_structure
from tests.purge.contents import Contents, read_contents
from tests.purge.purging import CONFIRMED, losses_of, plan_of, purge, try_purge, warnings_of
from tests.servers.roles import Rights

EVERYTHING = ("--what", "everything")
OWN = "CREATE TABLE wishlist (id integer PRIMARY KEY); INSERT INTO wishlist VALUES (1), (2)"


def without_times(contents: Contents) -> Contents:
    """Without the columns that tell when a row was made."""
    return {
        table: [{k: v for k, v in row.items() if not k.endswith("_at")} for row in rows]
        for table, rows in contents.items()
    }


def structure(database: str) -> dict[str, Any]:
    with psycopg.connect(database) as conn:
        return read_structure(conn)


def execute(database: str, query: str) -> list[Any]:
    with psycopg.connect(database, autocommit=True) as conn:
        cursor = conn.execute(query)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("size", ["small", "large"])
def test_leaves_what_migrate_makes(
    size: str,
    sample_database: Callable[[], str],
    aperture_database: Callable[[], str],
    large_plain_database: Callable[[], str],
) -> None:
    database = sample_database() if size == "small" else large_plain_database()
    execute(database, OWN)
    before = read_contents(database)

    plan = plan_of(database, *EVERYTHING)
    assert read_contents(database) == before
    data = purge(database, *EVERYTHING, "--expect-rows", str(plan["rows"]))

    fresh = aperture_database()
    execute(fresh, OWN)
    assert without_times(read_contents(database)) == without_times(read_contents(fresh))
    assert structure(database) == structure(fresh)
    planned = {deletion["table"]: deletion["rows"] for deletion in plan["deletions"]}
    assert planned == {table: len(rows) for table, rows in before.items() if table != "wishlist"}
    assert {each["table"]: each["rows"] for each in data["outcome"]["deleted"]} == planned
    assert "wishlist" in plan["kept"][-1]


@pytest.mark.parametrize("number", ["0001", "0023", "0031", "0059", "0077", "0090"])
def test_rebuilds_an_older_version_as_it_was(
    number: str, database_at: Callable[[str], str]
) -> None:
    database, fresh = database_at(number), database_at(number)
    purge(database, *EVERYTHING)
    assert without_times(read_contents(database)) == without_times(read_contents(fresh))
    assert structure(database) == structure(fresh)


def test_dropped_legacy_tables_come_back(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    execute(database, "DROP TABLE embeddings_legacy, series_embeddings_legacy")
    purge(database, *EVERYTHING)
    assert structure(database) == structure(aperture_database())


def test_refuses_when_a_recorded_migration_is_not_at_hand(
    sample_database: Callable[[], str],
) -> None:
    database = sample_database()
    execute(
        database, "INSERT INTO aperture_migrations (name) VALUES ('0101_continue_watching.sql')"
    )
    before = read_contents(database)
    outcome = try_purge(database, *EVERYTHING, *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "migration_not_at_hand"
    assert "0101_continue_watching.sql" in outcome.envelope["error"]["message"]
    assert read_contents(database) == before


def test_takes_the_migrations_of_a_newer_aperture(
    aperture_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in MIGRATIONS.glob("*.sql"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    newer = "CREATE TABLE moods (id serial PRIMARY KEY);\nINSERT INTO moods DEFAULT VALUES;"
    (tmp_path / "0115_moods.sql").write_text(newer)
    monkeypatch.setenv("APERTURE_MIGRATIONS_DIR", str(tmp_path))
    database = aperture_database()
    execute(database, newer)
    execute(database, "INSERT INTO aperture_migrations (name) VALUES ('0115_moods.sql')")
    execute(database, "INSERT INTO moods SELECT FROM generate_series(1, 3)")
    data = purge(database, *EVERYTHING)
    assert {"table": "moods", "rows": 4, "planned_rows": 4} in data["outcome"]["deleted"]
    assert execute(database, "SELECT id FROM moods") == [(1,)]


def test_what_was_added_to_apertures_tables_stays_as_announced(
    aperture_database: Callable[[], str],
) -> None:
    database = aperture_database()
    execute(
        database,
        "ALTER TABLE movies ADD COLUMN shelf text CHECK (shelf <> ''); "
        "CREATE INDEX by_shelf ON movies (shelf); "
        "CREATE STATISTICS shelved ON title, shelf FROM movies; "
        "CREATE POLICY mine ON movies USING (shelf = 'mine'); "
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
        "CREATE TRIGGER noted BEFORE UPDATE ON movies FOR EACH ROW "
        "WHEN (OLD.shelf IS NOT NULL) EXECUTE FUNCTION note()",
    )
    extended = structure(database)
    assert any("you have added" in first for first in plan_of(database, *EVERYTHING)["first"])
    purge(database, *EVERYTHING)
    assert structure(database) == extended


@pytest.mark.parametrize(
    ("addition", "named"),
    [
        ("CREATE VIEW titles AS SELECT title FROM movies", "view titles"),
        (
            "CREATE TABLE notes (movie_id uuid CONSTRAINT about REFERENCES movies)",
            "constraint about on table notes",
        ),
        (
            (
                "CREATE TABLE own (updated_at timestamptz); "
                "CREATE TRIGGER touch BEFORE UPDATE ON own "
                "FOR EACH ROW EXECUTE FUNCTION update_updated_at_column()"
            ),
            "trigger touch on table own",
        ),
    ],
)
def test_refuses_what_would_take_others_along(
    addition: str, named: str, aperture_database: Callable[[], str]
) -> None:
    database = aperture_database()
    execute(database, addition)
    outcome = try_purge(database, *EVERYTHING, *CONFIRMED)
    assert outcome.code == 1
    assert named in outcome.envelope["error"]["message"]
    assert execute(database, "SELECT count(*) FROM aperture_migrations") == [
        (len(MIGRATION_NAMES),)
    ]


def test_owners_and_grants_stay(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    owner = conninfo_to_dict(limited_role(database, "owner"))["user"]
    reader = conninfo_to_dict(limited_role(database, "none"))["user"]
    execute(database, f"GRANT SELECT ON movies, aperture_migrations TO {reader}")
    execute(database, f"GRANT UPDATE ON users TO {reader} WITH GRANT OPTION")
    execute(database, f"GRANT USAGE ON SEQUENCE parental_rating_values_id_seq TO {reader}")
    execute(database, f"GRANT UPDATE (title) ON movies TO {reader}")
    execute(database, "REVOKE EXECUTE ON FUNCTION update_updated_at_column() FROM PUBLIC")
    execute(database, f"GRANT EXECUTE ON FUNCTION update_updated_at_column() TO {reader}")
    execute(database, f"ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO {reader}")
    query = (
        "SELECT relname, relowner::regrole, array_agg(acl::text ORDER BY acl) FROM pg_class "
        "LEFT JOIN LATERAL aclexplode(relacl) AS acl ON acl.grantee <> relowner "
        "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') "
        "GROUP BY 1, 2 ORDER BY 1"
    )
    functions = (
        "SELECT proname, proowner::regrole, proacl::text FROM pg_proc "
        f"WHERE proowner = '{owner}'::regrole ORDER BY 1"
    )
    columns = "SELECT attrelid::regclass::text, attname, attacl::text FROM pg_attribute "
    columns += "WHERE attacl IS NOT NULL AND attrelid > 16384 ORDER BY 1, 2"
    before, functions_before = execute(database, query), execute(database, functions)
    columns_before = execute(database, columns)
    purge(database, *EVERYTHING)
    assert execute(database, query) == before
    assert execute(database, columns) == columns_before
    assert execute(database, functions) == functions_before


def test_the_owner_without_superuser_can_do_it(
    sample_database: Callable[[], str],
    aperture_database: Callable[[], str],
    limited_role: Callable[[str, Rights], str],
) -> None:
    database = sample_database()
    purge(limited_role(database, "owner"), *EVERYTHING)
    assert structure(database) == structure(aperture_database())


def test_who_is_not_the_owner_learns_it_before(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    outcome = try_purge(limited_role(database, "write"), *EVERYTHING, *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "no_privilege"
    assert "does not own" in outcome.envelope["error"]["message"]


def test_refuses_tables_without_records(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    execute(database, "DROP TABLE aperture_migrations")
    outcome = try_purge(database, *EVERYTHING, *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "untracked_schema"


def test_an_empty_database_has_nothing_to_rebuild(new_database: Callable[[], str]) -> None:
    outcome = try_purge(new_database(), *EVERYTHING, *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "no_aperture"


def test_says_what_is_lost_and_what_follows(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    execute(database, "UPDATE backup_config SET backup_path = '/mnt/backups'")
    plan = plan_of(database, *EVERYTHING)
    assert {"manual ratings", "users", "chats", "channels", "API keys", "logins"} <= losses_of(
        plan
    ).keys()
    assert "virtual_libraries" in warnings_of(plan)
    assert "/mnt/backups" in warnings_of(plan)["backup_path"]
    assert "setup wizard" in plan["then"][-1]
    assert [job["name"] for job in plan["jobs"]][:2] == ["sync-users", "sync-movies"]
