"""After a change of the media server the old accounts become those of the new one."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import psycopg
import pytest

from tests.program import run_inside
from tests.purge.purging import PHRASE
from tests.relink.resync import Conn

CONFIRM = ("--confirm", PHRASE)


def accounts(conn: Conn) -> dict[UUID, tuple[str, str, str]]:
    rows = conn.execute("SELECT id, provider, provider_user_id, username FROM users")
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


@pytest.fixture
def changed(conn: Conn) -> dict[str, UUID]:
    """The sample's server is another now; sync-users has added its accounts without data."""
    conn.execute("UPDATE users SET provider = 'emby'")
    conn.execute(
        "INSERT INTO system_settings (key, value) VALUES ('media_server_type', 'jellyfin') "
        "ON CONFLICT (key) DO UPDATE SET value = 'jellyfin'"
    )
    conn.execute(
        "INSERT INTO users (provider, provider_user_id, username) "
        "SELECT 'jellyfin', 'j-' || username, upper(username) FROM users"
    )
    return {row[1]: row[0] for row in conn.execute("SELECT id, username FROM users").fetchall()}


def test_accounts_are_adopted_with_everything_that_is_theirs(
    conn: Conn, database: str, changed: dict[str, UUID]
) -> None:
    before = accounts(conn)
    old = [user for user, (provider, *_) in before.items() if provider == "emby"]
    rated = conn.execute("SELECT user_id, count(*) FROM user_ratings GROUP BY 1").fetchall()
    listed = run_inside("relink", "--users", "--json", database=database).envelope["data"]
    assert {pair["old"]["user_id"] for pair in listed["pairs"]} == set(map(str, old))
    assert accounts(conn) == before
    refused = run_inside("relink", "--users", "--apply", database=database)
    assert refused.code == 4
    assert accounts(conn) == before
    done = run_inside("relink", "--users", "--apply", *CONFIRM, database=database)
    assert done.code == 0, done.err
    assert accounts(conn) == {
        user: ("jellyfin", f"j-{before[user][2]}", before[user][2]) for user in old
    }
    assert conn.execute("SELECT user_id, count(*) FROM user_ratings GROUP BY 1").fetchall() == rated
    assert conn.execute(
        "SELECT count(*) FROM users WHERE watch_history_synced_at IS NOT NULL "
        "OR series_watch_history_synced_at IS NOT NULL OR provider_access_token IS NOT NULL"
    ).fetchone() == (0,)
    again = run_inside("relink", "--users", "--json", database=database).envelope["data"]
    assert (again["pairs"], again["unpaired_old"]) == ([], [])
    assert changed


def test_a_new_account_in_use_is_never_deleted(
    conn: Conn, database: str, changed: dict[str, UUID]
) -> None:
    new = [name for name in changed if name.isupper()]
    conn.execute("UPDATE users SET is_enabled = true WHERE id = %s", [changed[new[0]]])
    conn.execute(
        "INSERT INTO sessions (user_id, data, expires_at) VALUES (%s, '{}', now())",
        [changed[new[1]]],
    )
    done = run_inside("relink", "--users", "--apply", *CONFIRM, "--json", database=database)
    assert done.code == 0, done.err
    left = {name for _, _, name in accounts(conn).values()}
    assert {new[0], new[1]} <= left
    assert len(done.envelope["data"]["pairs"]) == len(new) - 2


def test_names_that_are_not_unique_are_paired_by_a_person(
    conn: Conn, database: str, changed: dict[str, UUID]
) -> None:
    name = next(name for name in changed if not name.isupper())
    conn.execute(
        "INSERT INTO users (provider, provider_user_id, username) VALUES ('jellyfin', 'two', %s)",
        [name.title()],
    )
    listed = run_inside("relink", "--users", "--json", database=database).envelope["data"]
    assert name in [account["username"] for account in listed["unpaired_old"]]
    pair = f"{changed[name]}={changed[name.upper()]}"
    for wrong in (f"nobody={name.upper()}", "half", f"{name}=nobody"):
        assert run_inside("relink", "--users", "--pair", wrong, database=database).code == 2
    done = run_inside("relink", "--users", "--pair", pair, "--apply", *CONFIRM, database=database)
    assert done.code == 0, done.err
    assert accounts(conn)[changed[name]] == ("jellyfin", f"j-{name}", name)


def test_pairs_need_users(database: str) -> None:
    assert run_inside("relink", "--pair", "a=b", database=database).code == 2
    assert run_inside("relink", "--keep", "--apply", database=database).code == 2


@pytest.mark.parametrize("mode", ["--keep", "--users"])
@pytest.mark.parametrize("tables", ["", "CREATE TABLE users (id int)"], ids=["empty", "foreign"])
def test_another_database_has_nothing_to_keep_or_pair(
    new_database: Callable[[], str], tables: str, mode: str
) -> None:
    conninfo = new_database()
    with psycopg.connect(conninfo) as plain:
        plain.execute(tables.encode())
    refused = run_inside("relink", mode, "--json", database=conninfo)
    assert (refused.code, refused.envelope["error"]["code"]) == (2, "not_aperture")


@pytest.mark.parametrize(
    "pairs", [("old=new", "old=other"), ("old=new", "older=new")], ids=["old", "new"]
)
def test_an_account_in_two_pairs_is_refused(
    pairs: tuple[str, str], conn: Conn, database: str
) -> None:
    setting = "INSERT INTO system_settings (key, value) VALUES ('media_server_type', 'jellyfin') "
    conn.execute(setting + "ON CONFLICT (key) DO UPDATE SET value = 'jellyfin'")
    for name, provider in (("old", "emby"), ("older", "emby"), ("new", "jellyfin"),
                           ("other", "jellyfin")):  # fmt: skip
        conn.execute(
            "INSERT INTO users (username, provider, provider_user_id, is_enabled) "
            "VALUES (%s, %s, %s, false)",
            [name, provider, name],
        )
    before = conn.execute("SELECT * FROM users ORDER BY id").fetchall()
    words = [word for pair in pairs for word in ("--pair", pair)]
    outcome = run_inside("relink", "--users", *words, "--apply", "--confirm", PHRASE,
                         database=database)  # fmt: skip
    assert outcome.code == 2
    assert "stands in more than one pair" in outcome.err
    assert conn.execute("SELECT * FROM users ORDER BY id").fetchall() == before


def test_the_printed_command_keeps_the_pairs(conn: Conn, database: str) -> None:
    setting = "INSERT INTO system_settings (key, value) VALUES ('media_server_type', 'jellyfin') "
    conn.execute(setting + "ON CONFLICT (key) DO UPDATE SET value = 'jellyfin'")
    for name, provider in (("old", "emby"), ("new one", "jellyfin")):
        conn.execute(
            "INSERT INTO users (username, provider, provider_user_id, is_enabled) "
            "VALUES (%s, %s, %s, false)",
            [name, provider, name],
        )
    outcome = run_inside("relink", "--users", "--pair", "old=new one", database=database)
    assert "--users --pair 'old=new one' --apply" in outcome.out
