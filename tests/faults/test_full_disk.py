"""Disks that are full for real: that of the server, and that of a file to write."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from tests.cli import COMMAND, environment
from tests.dump_files import PHRASE, PLACES, execute, fetch_one, make_dump, read_rows
from tests.faults.disks import SmallDisk
from tests.program import run_inside
from tests.purge.purging import CONFIRMED, purge
from tests.servers.account import give_to_server_account

NewDatabase = Callable[[], str]


@pytest.fixture
def cramp(
    mount: Callable[[str], SmallDisk], admin_conninfo: str
) -> Iterator[Callable[[str], SmallDisk]]:
    """Moves a database to a tablespace on a small disk of its own; the server's log and its other
    databases stay where they are."""
    made: list[sql.Identifier] = []

    def move(conninfo: str) -> SmallDisk:
        disk = mount("300m")
        place = disk.path / "tablespace"
        place.mkdir()
        give_to_server_account(place)
        database = sql.Identifier(str(conninfo_to_dict(conninfo)["dbname"]))
        with psycopg.connect(admin_conninfo, autocommit=True) as admin:
            create = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
            admin.execute(create.format(database, str(place)))
            made.append(database)
            admin.execute(sql.SQL("ALTER DATABASE {0} SET TABLESPACE {0}").format(database))
            admin.execute("CHECKPOINT")
        return disk

    yield move
    with psycopg.connect(admin_conninfo, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
            admin.execute(sql.SQL("DROP TABLESPACE {}").format(name))


EXPIRED = "UPDATE sessions SET expires_at = now() - interval '3 days'"
COMMANDS = {
    "purge movies": ("purge", "--what", "movies", *CONFIRMED),
    "purge everything": ("purge", "--what", "everything", *CONFIRMED),
    "clean": ("clean", "expired-sessions", "stale-embeddings", "--apply", "--confirm", PHRASE),
    "vacuum": ("vacuum", "--all"),
    "vacuum that rebuilds": ("vacuum", "--reindex-hnsw", "--table", "embeddings_256"),
    "vacuum that rewrites": ("vacuum", "--full", "--table", "movies", "--confirm", PHRASE),
    "migrate": ("migrate",),
    "restore": ("restore", "{dump}", "--no-safety-backup", "--confirm", PHRASE),
}
UNCHANGED = {
    "purge movies": "the purge failed and was rolled back, nothing was changed",
    "purge everything": "the purge failed and was rolled back, nothing was changed",
    "clean": "deleted from sessions",
    "migrate": "was rolled back",
    "restore": "the database is unchanged",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_of_the_server(
    name: str,
    sample_database: NewDatabase,
    database_at: Callable[[str], str],
    cramp: Callable[[str], SmallDisk],
    tmp_path: Path,
) -> None:
    conninfo = database_at("0110") if name == "migrate" else sample_database()
    execute(conninfo, EXPIRED)
    command = COMMANDS[name]
    if name == "restore":
        command = (command[0], str(make_dump(conninfo, tmp_path).path), *command[2:])
    disk = cramp(conninfo)
    before = read_rows(conninfo)
    disk.fill()
    outcome = run_inside(*command, database=conninfo)
    said = " ".join(outcome.err.split())
    assert outcome.code == 1, outcome.err
    assert "No space left on device" in said or "disk is full" in said
    assert UNCHANGED.get(name, "") in said
    now = read_rows(conninfo)
    if name == "migrate":
        applied, known = (each["public.aperture_migrations"][0] for each in (now, before))
        assert f"applied before it in this run: {applied - known}" in said
    else:
        changed = {table for table in now if now[table] != before[table]}
        assert changed == ({"public.sessions"} if name == "clean" else set())
    assert fetch_one(conninfo, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    disk.empty()
    again = run_inside(*command, database=conninfo)
    assert again.code == 0, again.err


def test_a_backup_whose_record_does_not_fit(
    sample_database: NewDatabase, cramp: Callable[[str], SmallDisk], tmp_path: Path
) -> None:
    """The backup is what was asked for; that it is not recorded is a warning."""
    conninfo = sample_database()
    disk = cramp(conninfo)
    disk.fill()
    outcome = run_inside("backup", "--dir", str(tmp_path), database=conninfo)
    assert outcome.code == 0, outcome.err
    assert "the backup was not recorded" in outcome.err
    assert len(list(tmp_path.glob("aperture_backup_*.dump"))) == 1


FILES = {
    "ratings": ("purge", "--what", "ratings", *CONFIRMED, "--export-ratings", "{file}"),
    "kept": ("relink", "--export", "{file}"),
    "metrics": ("health", "--format", "prometheus", "--output", "{file}"),
    "report": ("report", "--output", "{file}"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_of_a_file(
    name: str, sample_database: NewDatabase, mount: Callable[[str], SmallDisk]
) -> None:
    """No empty or half file is left, nor a temporary one; what had the name keeps it."""
    conninfo = sample_database()
    if name == "kept":
        purge(conninfo, "--what", "movies")
    disk = mount("64k")
    file = disk.path / "file"
    is_replaced = name in ("metrics", "report")
    if is_replaced:
        file.write_text("the one of yesterday")
    disk.fill()
    before = read_rows(conninfo)
    outcome = run_inside(
        *(word.replace("{file}", str(file)) for word in FILES[name]), database=conninfo
    )
    assert outcome.code != 0, outcome.out
    assert "No space left on device" in outcome.err
    assert file.exists() is is_replaced
    assert not is_replaced or file.read_text() == "the one of yesterday"
    assert {each.name for each in disk.path.iterdir()} == {"filler", *["file"] * is_replaced}
    assert read_rows(conninfo) == before


@pytest.mark.parametrize("command", ["stats", "health", "report"])
def test_a_full_disk_behind_stdout(
    command: str, sample_database: NewDatabase, mount: Callable[[str], SmallDisk]
) -> None:
    """A shell has made the file already: what is in it may be half, and that is said."""
    disk = mount("64k")
    disk.fill()
    with (disk.path / "file").open("w") as file:
        done = subprocess.run(
            [*COMMAND, command], env=environment(sample_database(), **PLACES), cwd="/",
            stdout=file, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode not in (0, 120)
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_too_few_file_descriptors(sample_database: NewDatabase, tmp_path: Path) -> None:
    """Whatever fails for lack of them, the cause is named: nothing is called not installed, and no
    directory unwritable."""
    conninfo = sample_database()
    failures = 0
    for limit in range(20, 5, -1):
        done = subprocess.run(
            ["/bin/sh", "-c", 'ulimit -n "$0"; exec "$@"', str(limit), *COMMAND, "backup", "--dir",
             str(tmp_path)],
            env=environment(conninfo, **PLACES), cwd="/", capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode == 0:
            continue
        failures += 1
        assert "Too many open files" in done.stderr
        if "importlib" in done.stderr:
            # Not even Python's own modules can be read.
            break
        assert "next:  raise the limits of this account (ulimit -n" in done.stderr
    assert failures > 0
    assert not list(tmp_path.glob(".*"))
