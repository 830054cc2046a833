"""Row-level security: no command takes hidden rows for missing ones, and each says what helps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.cli.options import PHRASE
from tests.cli import Outcome
from tests.program import run_inside
from tests.servers.roles import Rights

SOME = ("movies", "users", "user_ratings")
RECORDS = ("aperture_migrations",)
WORK = [
    *(
        ("purge", "--what", what, *rest)
        for what in ("movies", "series", "content", "watch-history", "ratings", "everything")
        for rest in (["--dry-run"], ["--confirm", PHRASE, "--no-backup"])
    ),
    ("clean", "--apply", "orphans", "--confirm", PHRASE),
    ("relink", "--keep"),
    ("backup", "--dir", "{directory}"),
]
"""What needs all rows of films and users."""


def execute(conninfo: str, *statements: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def enable(conninfo: str, tables: tuple[str, ...] = (), *, is_forced: bool = False) -> None:
    """Enable row-level security, without any policy, on these tables or on all."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        every = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (name,) in every.fetchall():
            if not tables or name in tables:
                for word in ("ENABLE", "FORCE")[: 1 + is_forced]:
                    statement = sql.SQL("ALTER TABLE {} {} ROW LEVEL SECURITY")
                    conn.execute(statement.format(sql.Identifier(name), sql.SQL(word)))


def role_of(conninfo: str) -> str:
    return str(conninfo_to_dict(conninfo)["user"])


@pytest.fixture
def owner(sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]) -> str:
    return limited_role(sample_database(), "owner")


@pytest.fixture
def admin(owner: str, admin_conninfo: str) -> str:
    return make_conninfo(admin_conninfo, dbname=str(conninfo_to_dict(owner)["dbname"]))


@pytest.fixture
def reader(admin: str) -> Iterator[str]:
    """The role that docs/external-database.md recommends for reading."""
    execute(
        admin,
        "CREATE ROLE test_hidden_reader LOGIN PASSWORD 'p'",
        "GRANT pg_read_all_data, pg_monitor TO test_hidden_reader",
    )
    yield make_conninfo(admin, user="test_hidden_reader", password="p")
    execute(admin, "DROP OWNED BY test_hidden_reader", "DROP ROLE test_hidden_reader")


@pytest.fixture(autouse=True)
def _one_at_a_time(admin_conninfo: str) -> Iterator[None]:
    """Roles are shared by all databases of the server."""
    with psycopg.connect(admin_conninfo) as conn:
        conn.execute("SELECT pg_advisory_lock(hashtext('test_hidden_reader'))")
        yield


def run(conninfo: str, *arguments: str) -> Outcome:
    return run_inside(*arguments, database=conninfo)


def counts(conninfo: str, *arguments: str) -> dict[str, dict[str, object]]:
    outcome = run(conninfo, "stats", "--json", *arguments)
    assert outcome.code == 0, outcome.out
    overview: dict[str, dict[str, object]] = outcome.envelope["data"]["overview"]
    return overview


def follow(admin: str, next_step: str) -> None:
    """Run the statements of "as … run: …", up to a way without them."""
    execute(admin, next_step.partition("run: ")[2].partition(" or connect")[0])


@pytest.mark.parametrize("mode", [(), ("--estimate",)])
def test_stats_count_what_is_not_hidden(
    reader: str, owner: str, admin: str, mode: tuple[str, ...]
) -> None:
    before = counts(owner, *mode)
    enable(admin, SOME)
    assert counts(owner, *mode) == before
    found = counts(reader, *mode)
    hidden = {"movies", "movies_in_libraries", "users", "users_enabled", "ratings"}
    for name, count in found.items():
        if name not in hidden:
            assert count == before[name], name
        elif count["unknown"] != "not_counted":
            assert (count["rows"], count["unknown"]) == (None, "hidden"), name
    data = run(reader, "stats", "--json", *mode).envelope["data"]
    [hint] = [hint for hint in data["hints"] if hint["id"] == "row_security"]
    assert hint["cause"] == (
        "row-level security hides rows of movies, user_ratings, users from role test_hidden_reader"
    )
    assert hint["next"] == (
        'as a superuser run: ALTER ROLE "test_hidden_reader" BYPASSRLS; '
        f"or connect as {role_of(owner)}, the owner"
    )
    follow(admin, hint["next"])
    assert counts(reader, *mode) == before


def test_stats_of_hidden_tables_say_neither_0_nor_never_synced(reader: str, admin: str) -> None:
    enable(admin)
    outcome = run(reader, "stats")
    assert outcome.code == 0
    assert "movies                 hidden" in outcome.out
    assert "synced" not in outcome.out
    assert "embedding model is configured" not in outcome.out
    assert " 0 " not in outcome.out.partition("Storage")[0]
    data = run(reader, "stats", "--tables", "--json").envelope["data"]
    listed = [table for table in data["tables"] if table["schema"] == "public"]
    assert {table["count"]["unknown"] for table in listed} == {"hidden"}
    assert all(table["total_bytes"] > 0 for table in listed)
    assert data["total"]["is_complete"] is False


@pytest.mark.parametrize("tables", [RECORDS, ()], ids=["records", "all"])
@pytest.mark.parametrize("mode", ["--check", "--status", "--dry-run", "--rehearse", "--to=0114"])
def test_migrate_does_not_take_hidden_records_for_pending_ones(
    reader: str, owner: str, admin: str, tables: tuple[str, ...], mode: str
) -> None:
    enable(admin, tables)
    outcome = run(reader, "migrate", mode)
    assert outcome.code == 1
    assert outcome.err.startswith("error: cannot tell which migrations are applied")
    assert "hides rows of aperture_migrations from role test_hidden_reader" in outcome.err
    assert "pending" not in outcome.err + outcome.out
    assert run(owner, "migrate", "--check").code == 0
    error = run(reader, "migrate", mode, "--json").envelope["error"]
    assert error["code"] == "row_security"
    follow(admin, error["next"])
    assert run(reader, "migrate", "--check").code == 0


def test_the_owner_under_force_gets_the_way_out(owner: str, admin: str) -> None:
    enable(admin, RECORDS, is_forced=True)
    error = run(owner, "migrate", "--check", "--json").envelope["error"]
    assert error["next"] == (
        "as the owner or a superuser run: "
        'ALTER TABLE "public"."aperture_migrations" NO FORCE ROW LEVEL SECURITY;'
    )
    follow(owner, error["next"])
    assert run(owner, "migrate", "--check").code == 0


@pytest.mark.parametrize("tables", [SOME, ()], ids=["some", "all"])
@pytest.mark.parametrize("arguments", WORK, ids=lambda words: "-".join(words[:4]))
def test_nothing_is_deleted_or_saved_where_rows_are_hidden(
    owner: str, admin: str, tables: tuple[str, ...], arguments: tuple[str, ...], tmp_path: Path
) -> None:
    before = counts(admin)
    enable(admin, tables, is_forced=True)
    words = [word.format(directory=tmp_path) for word in arguments]
    outcome = run(owner, *words, "--json")
    assert outcome.code == 1, outcome.out
    error = outcome.envelope["error"]
    assert error["code"] == "row_security"
    assert "row-level security hides rows of " in error["cause"]
    assert f"from role {role_of(owner)}" in error["cause"]
    assert counts(admin) == before
    assert not list(tmp_path.iterdir())
    # Orphans are looked for in so few tables that their owner is told how to show the rows of each.
    if not tables and "orphans" not in arguments:
        assert error["next"] == f'as a superuser run: ALTER ROLE "{role_of(owner)}" BYPASSRLS;'
    follow(admin, error["next"])
    assert "hides rows" not in run(owner, *words, "--json").out


def test_clean_counts_the_kinds_that_are_not_hidden(reader: str, owner: str, admin: str) -> None:
    def kinds(conninfo: str) -> dict[str, dict[str, object]]:
        data = run(conninfo, "clean", "--json").envelope["data"]
        return {kind["kind"]: kind for kind in data["kinds"]}

    before = kinds(owner)
    enable(admin, ("movies", "sessions"))
    found = kinds(reader)
    assert {name for name in found if found[name]["unknown"]} == {"orphans", "expired-sessions"}
    for name, kind in found.items():
        if kind["unknown"]:
            assert kind["rows"] is None
            assert kind["grant"] == 'ALTER ROLE "test_hidden_reader" BYPASSRLS;'
        else:
            assert kind["rows"] == before[name]["rows"]
    text = run(reader, "clean").out
    assert "as a superuser run: ALTER ROLE" in text


def test_a_restore_is_refused_where_rows_are_hidden(owner: str, admin: str, tmp_path: Path) -> None:
    assert run(owner, "backup", "--dir", str(tmp_path)).code == 0
    [file] = tmp_path.glob("*.dump")
    before = counts(admin)
    for tables in (SOME, RECORDS):
        enable(admin, tables, is_forced=True)
        outcome = run(owner, "restore", str(file), "--json", "--confirm", PHRASE)
        assert outcome.envelope["error"]["code"] == "row_security", outcome.out
        assert outcome.envelope["error"]["message"] == "restore refused, nothing was changed"
        follow(admin, outcome.envelope["error"]["next"])
    assert counts(admin) == before
    outcome = run(owner, "restore", str(file), "--confirm", PHRASE)
    assert outcome.code == 0, outcome.err


def test_what_is_kept_and_hidden_is_not_taken_for_none(owner: str, admin: str) -> None:
    assert run(owner, "relink", "--keep").code == 0
    assert run(owner, "stats", "--record").code == 0
    execute(
        admin,
        *(
            f"ALTER TABLE aperture_db.{table} {word} ROW LEVEL SECURITY"
            for table in ("kept_rows", "kept_titles", "kept_users", "samples")
            for word in ("ENABLE", "FORCE")
        ),
    )
    for words in (
        ["relink"], ["relink", "--apply"], ["relink", "--show", "pending"], ["relink", "--users"],
        ["relink", "--forget", "--confirm", PHRASE], ["stats", "--history"], ["stats", "--record"],
        ["purge", "--what", "movies", "--dry-run"],
    ):  # fmt: skip
        outcome = run(owner, *words, "--json")
        assert (outcome.code, outcome.envelope["error"]["code"]) == (1, "row_security"), words
        next_step = outcome.envelope["error"]["next"]
        assert f'ALTER ROLE "{role_of(owner)}"' in next_step or "NO FORCE" in next_step, words
    checks = run(owner, "health", "--json").envelope["data"]["checks"]
    kept = next(check for check in checks if check["id"] == "kept-data")
    assert kept["status"] == "skipped"
    assert run(owner, "stats").code == 0


def test_a_migration_that_meets_hidden_rows_is_rolled_back(
    database_at: Callable[[str], str],
    limited_role: Callable[[str, Rights], str],
    tmp_path: Path,
) -> None:
    admin = database_at("0012")
    owner = limited_role(admin, "owner")
    (tmp_path / "0013_rows.sql").write_text("UPDATE users SET username = username;")
    enable(admin, ("users",), is_forced=True)
    outcome = run(owner, "migrate", "--dir", str(tmp_path), "--json")
    assert outcome.code == 1
    error = outcome.envelope["error"]
    assert error["code"] == "migration_failed"
    assert "as a role that sees all rows" in error["next"]


def test_health_warns_and_goes_on(reader: str, owner: str, admin: str) -> None:
    def checks(conninfo: str) -> dict[str, dict[str, Any]]:
        data = run(conninfo, "health", "--json").envelope["data"]
        return {check["id"]: check for check in data["checks"]}

    before = checks(reader)
    assert before["row-level-security"]["status"] == "ok"
    enable(admin, SOME)
    found = checks(reader)
    hidden = found["row-level-security"]
    assert (hidden["status"], hidden["value"]) == ("warning", 3)
    assert hidden["advice"] == ['ALTER ROLE "test_hidden_reader" BYPASSRLS;']
    changed = {name for name in found if found[name]["status"] != before[name]["status"]}
    assert changed >= {"row-level-security", "orphaned-rows", "embedding-coverage"}
    assert {found[name]["status"] for name in changed - {"row-level-security"}} == {"skipped"}
    assert checks(owner)["row-level-security"]["status"] == "ok"
    enable(admin, SOME, is_forced=True)
    forced = checks(owner)["row-level-security"]
    assert forced["status"] == "warning"
    execute(owner, *forced["advice"])
    assert checks(owner)["row-level-security"]["status"] == "ok"
    execute(admin, *hidden["advice"])
    assert checks(reader)["row-level-security"]["status"] == "ok"


def test_everything_hidden_is_never_reported_as_missing(reader: str, admin: str) -> None:
    enable(admin)
    outcome = run(reader, "health", "--json")
    checks = {check["id"]: check for check in outcome.envelope["data"]["checks"]}
    assert outcome.code == 1
    for name in ("migrations", "default-rows", "failed-jobs", "backup-age", "embedding-coverage"):
        assert checks[name]["status"] == "skipped", name
        assert "row-level security hides rows of" in checks[name]["reason"], name
    text = json.dumps([check for check in checks.values() if check["status"] != "skipped"])
    for word in ("INSERT", "--mark-applied", "not recorded", "no embedding model"):
        assert word not in text


def test_the_report_shows_no_0(reader: str, admin: str, tmp_path: Path) -> None:
    enable(admin)
    file = tmp_path / "report.html"
    assert run(reader, "report", "--output", str(file)).code == 0
    text = file.read_text()
    assert "hidden" in text
    assert "row-level security hides rows" in text
    assert "114 pending" not in text
