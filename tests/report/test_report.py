"""The report: its page, what it shows, and that nothing private is in it."""

from __future__ import annotations

import json
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.cli import report as command
from aperture_db.report import SETTINGS
from aperture_db.report.report import (
    DatabaseReport,
    LastBackup,
    LastDrill,
    ServerSetting,
    make_redaction,
)
from aperture_db.sql import load
from tests.cli import run_cli
from tests.described import undescribed
from tests.program import run_inside
from tests.report import browser
from tests.servers.standby import ReplicatedDatabase
from tests.terminal import run_at_terminal, words_of

NewDatabase = Callable[[], str]
SENTINEL = "Zq7Sent"
# What the report shows on purpose: jobs, embedding models, the names of migrations, and the keys
# by which Aperture and this tool find their settings.
SHOWN_COLUMNS = {"model", "job_name", "key", "embedding_model"}
SHOWN_TABLES = {"aperture_migrations", "job_config", "job_runs"}


def page_of(conninfo: str, directory: Path) -> str:
    file = directory / "report.html"
    done = run_inside("report", "-q", "--output", str(file), database=conninfo)
    assert (done.code, done.out, done.err) == (0, "", "")
    return file.read_text(encoding="utf-8")


def record_samples(conninfo: str) -> None:
    """A sample of today, and copies that make a month of growth."""
    assert run_inside("stats", "--record", "-q", database=conninfo).code == 0
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            "INSERT INTO aperture_db.samples (sampled_at, is_exact, newest_migration, "
            "database_bytes, table_bytes, index_bytes, counts, group_bytes) "
            "SELECT sampled_at - make_interval(days => day), is_exact, newest_migration, "
            "database_bytes - 1000000 * day, table_bytes, index_bytes, counts, group_bytes "
            "FROM aperture_db.samples, generate_series(1, 30) AS day"
        )


def test_the_page_shows_the_state(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    record_samples(conninfo)
    with psycopg.connect(conninfo) as conn:
        conn.execute(
            "UPDATE backup_config SET last_backup_at = '2026-01-02 03:04:05Z', "
            "last_backup_size_bytes = 5 * 1024 * 1024"
        )
        conn.execute(load("backup/create_records"))
        conn.execute(
            "INSERT INTO aperture_db.drills "
            "(drilled_at, directory, file_name, duration_seconds) "
            "VALUES ('2026-01-03 03:04:05Z', '/x', 'y', 7.5)"
        )
        movies = conn.execute("SELECT count(*) FROM movies").fetchone()
        conn.execute("DELETE FROM aperture_migrations WHERE name LIKE '0114%'")
    assert movies
    page = page_of(conninfo, tmp_path)
    text = " ".join(
        re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.S)).split()
    )
    for words in (
        "Aperture database report", f"{movies[0]} movies", "Not healthy", "Completeness",
        "movie embeddings", "Largest tables", "31 samples", "database size", "+28.6 MB in all",
        "+977 kB a day", "Active model: ", "2026-01-02 03:04:05 UTC, 5.00 MB",
            "2026-01-03 03:04:05 UTC, restored in 7.5 s", "pending 0114_",
        "shared_ buffers", "pgcrypto", "ok",
    ):  # fmt: skip
        assert words in text, words
    assert page.count("<svg") > 2


def test_the_page_needs_and_reaches_nothing_else(
    sample_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = sample_database()
    record_samples(conninfo)
    page = page_of(conninfo, tmp_path)
    for pattern in (r"<script", r"<link", r"<img", r"\bsrc=", r"\bhref", r"url\(", r"@import",
                    r"\bon\w+=", r"https?:", r"<form"):  # fmt: skip
        assert not re.search(pattern, page, re.IGNORECASE), pattern
    assert "default-src 'none'" in page


@pytest.mark.skipif(browser.PROGRAM is None, reason="Chromium is not installed")
def test_in_a_browser(sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    record_samples(conninfo)
    page = page_of(conninfo, tmp_path)
    backgrounds = set()
    for width, dark, is_open in ((360, True, True), (420, False, False), (1280, False, True)):
        shown = browser.measure(page, tmp_path, width=width, dark=dark, is_open=is_open)
        assert shown.width == width
        assert shown.content_width <= width
        assert shown.requests == 0
        assert shown.pictures == page.count("<svg")
        backgrounds.add(shown.background)
    # One for each scheme.
    assert len(backgrounds) == 2


@contextmanager
def private_role(admin_conninfo: str) -> Iterator[tuple[str, str]]:
    """A superuser whose name and password are sentinels: the name and the password."""
    name, password = f"{SENTINEL} o'role", f"{SENTINEL}Pass w:rd"
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
                sql.Identifier(name), sql.Literal(password)
            )
        )
        try:
            yield name, password
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def plant(conn: psycopg.Connection[tuple[object, ...]]) -> int:
    """Put the sentinel into every text of Aperture's rows that takes it; the number of columns."""
    columns = conn.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER' "
        "AND data_type IN ('text', 'character varying', 'jsonb')"
    ).fetchall()
    planted = 0
    conn.execute("SET session_replication_role = replica")
    for table, column, kind in columns:
        if table in SHOWN_TABLES or column in SHOWN_COLUMNS:
            continue
        value = (
            f"'\"{SENTINEL}\"'" if kind == "jsonb" else f"'{SENTINEL}' || coalesce({column}, '')"
        )
        try:
            with conn.transaction():
                found = conn.execute(f'UPDATE "{table}" SET "{column}" = {value}')
            planted += found.rowcount > 0
        except psycopg.Error:
            # A CHECK, or a length that the value exceeds.
            continue
    with conn.transaction():
        conn.execute(load("backup/create_records"))
        conn.execute(
            "INSERT INTO aperture_db.backups (made_at, directory, file_name, size_bytes) "
            f"VALUES (now(), '/mnt/{SENTINEL}''s disk', '{SENTINEL}-2.dump', 1)"
        )
        conn.execute(f"UPDATE job_runs SET status = 'failed', error_message = '{SENTINEL}'")
        conn.execute(
            f"UPDATE backup_config SET backup_path = '/srv/{SENTINEL}''s files', "
            f"last_backup_filename = '{SENTINEL} file.dump', last_backup_at = now()"
        )
    return planted


def test_nothing_private_is_in_the_page(
    sample_database: NewDatabase, admin_conninfo: str, tmp_path: Path
) -> None:
    conninfo = sample_database()
    record_samples(conninfo)
    name = f"{SENTINEL}-db"
    old = str(conninfo_to_dict(conninfo)["dbname"])
    with private_role(admin_conninfo) as (role, password):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            assert plant(conn) > 60
            paths = [
                str(path)
                for (path,) in conn.execute(
                    "SELECT setting FROM pg_settings WHERE name IN ('data_directory', 'hba_file')"
                )
            ]
            assert len(paths) == 2
        rename(admin_conninfo, old, name)
        try:
            named = make_conninfo(
                conninfo,
                dbname=name,
                user=role,
                password=password,
                host=f"{SENTINEL}.example.org",
                hostaddr="127.0.0.1",
            )
            with (
                psycopg.connect(named, application_name=f"{SENTINEL} client") as other,
                psycopg.connect(named, application_name=f"{SENTINEL} waits") as waiting,
            ):
                other.execute("LOCK TABLE movies")
                blocked = threading.Thread(target=lambda: waiting.execute("LOCK TABLE movies"))
                blocked.start()
                page = page_of(named, tmp_path)
                done = run_inside("report", "--json", database=named)
                other.rollback()
                blocked.join()
        finally:
            rename(admin_conninfo, name, old)
    assert done.code == 0
    assert done.envelope["data"]["stats"]["database"]["role"] == "[role]"
    for output in (page, done.out):
        for word in (
            SENTINEL.lower(),
            quote(password).lower(),
            "127.0.0.1",
            *map(str.lower, paths),
        ):
            assert word not in output.lower(), output[output.lower().index(word) - 300 :][:600]
    assert "left out of this report" in page


def rename(admin_conninfo: str, old: str, new: str) -> None:
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        admin.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                sql.Identifier(old), sql.Identifier(new)
            )
        )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GRANT pg_monitor TO \"o\"\"brien\";", 'GRANT pg_monitor TO "[role]";'),
        ("run: o\"brien, not xo\"brien", "run: [role], not xo\"brien"),
        ("see https://host.example/x?y=1 now", "see [url] now"),
        ("the file is in /var/lib/db (mode 700)", "the file is in [path] (mode 700)"),
        ("give it more of /dev/shm", "give it more of /dev/shm"),
        ("10.1.2.3 asked, vector 0.8.5", "[address] asked, vector 0.8.5"),
        ("pgvector/pgvector:pg16", "pgvector/pgvector:pg16"),
        ("me@home.example", "[e-mail]"),
        ("ALTER DATABASE postgres", "ALTER DATABASE postgres"),
    ],
)  # fmt: skip
def test_redaction(text: str, shown: str) -> None:
    redact = make_redaction({'o"brien': "role", "postgres": "database", "x": "role"})
    assert redact(text) == shown


def test_a_role_without_rights_gets_a_page(
    sample_database: NewDatabase, limited_role: Callable[[str, str], str], tmp_path: Path
) -> None:
    conninfo = sample_database()
    record_samples(conninfo)
    page = page_of(limited_role(conninfo, "none"), tmp_path)
    assert "no privilege" in page
    assert "Not read" in page
    assert "growth: " in page


def test_an_empty_database_gets_a_page(new_database: NewDatabase, tmp_path: Path) -> None:
    page = page_of(new_database(), tmp_path)
    assert "this is not Aperture&#39;s database yet" in page


def test_a_standby_gets_a_page(
    replicated_database: Callable[[], ReplicatedDatabase], tmp_path: Path
) -> None:
    assert "· standby" in page_of(replicated_database().standby, tmp_path)


def test_the_file_is_private_and_no_link_is_followed(
    aperture_database: NewDatabase, tmp_path: Path
) -> None:
    conninfo = aperture_database()
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / "report.html").symlink_to(target)
    page_of(conninfo, tmp_path)
    file = tmp_path / "report.html"
    assert target.read_text() == "precious"
    assert stat.S_ISREG(file.lstat().st_mode)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "target"]
    done = run_inside("report", "--output", str(tmp_path / "no" / "x.html"), database=conninfo)
    assert (done.code, done.out) == (1, "")
    assert "could not write" in done.err


def test_the_page_goes_to_a_pipe_and_not_to_a_terminal(aperture_database: NewDatabase) -> None:
    conninfo = aperture_database()
    done = run_cli("report", conninfo=conninfo)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("<!DOCTYPE html>")
    assert done.out.endswith("</html>\n")
    code, shown = run_at_terminal("report", conninfo=conninfo)
    assert code == 2
    assert "next: aperture-db report --output report.html" in words_of(shown)


def test_without_the_extra(
    aperture_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "EXTRA_PACKAGES", ("jinja2", "no_such_package"))
    conninfo = aperture_database()
    done = run_inside("report", "--output", str(tmp_path / "r.html"), database=conninfo)
    assert done.code == 2
    assert "the report needs no_such_package" in done.err
    assert "pip install '.[report]'" in done.err
    # The data itself needs none of it.
    assert run_inside("report", "--json", database=conninfo).code == 0


def test_the_json_is_described(aperture_database: NewDatabase) -> None:
    assert undescribed("report", DatabaseReport, ServerSetting, LastBackup, LastDrill) == set()
    data = run_inside("report", "--json", database=aperture_database()).envelope["data"]
    assert json.dumps(data)
    assert {setting["name"] for setting in data["settings"]} <= set(SETTINGS)
