"""The tool, its server processes or the whole server end at points of every command that changes
something: nothing is lost, nothing is left, what is said is true, and a second run completes.

Three points and three faults, or with --all-points ten points and every fault.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest

from tests.cli import Outcome
from tests.conftest import apply_migrations, copy_database, fill_sample, make_template
from tests.dump_files import PHRASE, execute, make_dump
from tests.faults.disks import SmallDisk
from tests.faults.server import MortalServer, mortal_server, start_mortal_server
from tests.faults.trial import (
    Contents,
    Fault,
    Place,
    Trial,
    Work,
    read_contents,
    record,
    require_nothing_left,
    stopped,
    strike,
)
from tests.migrations.structure import differences, recorded_structures
from tests.program import run_inside
from tests.purge.purging import CONFIRMED, purge
from tests.relink.resync import resync, take_snapshot
from tests.servers.shared import SharedServers


@pytest.fixture
def server(servers: SharedServers) -> Iterator[MortalServer]:
    """The server of these tests, for one test at a time."""
    values = servers.get("mortal", start_mortal_server)
    with servers.exclusive("mortality"):
        yield mortal_server(values)


EXPIRED = "UPDATE sessions SET expires_at = now() - interval '3 days'"
CHANGES = ("DELETE FROM watch_history", "ALTER TABLE users ADD COLUMN x integer")


def purge_and_sync(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as conn:
        snapshot = take_snapshot(conn)
        purge(conninfo, "--what", "content")
        resync(conn, snapshot, seed=1)


def fill_small(conninfo: str) -> None:
    """An early version of Aperture with a few rows: a restore of it takes few statements."""
    apply_migrations(conninfo, until="0030")
    execute(
        conninfo,
        "INSERT INTO movies (provider_item_id, title) SELECT i, 'Film ' || i "
        "FROM generate_series(1, 500) AS i",
        "INSERT INTO users (username, provider, provider_user_id) VALUES ('anna', 'emby', '1')",
        "INSERT INTO watch_history (user_id, movie_id) SELECT users.id, movies.id "
        "FROM users, movies",
    )


def expire(conninfo: str) -> None:
    execute(conninfo, EXPIRED)


def leave_dead_rows(conninfo: str) -> None:
    execute(conninfo, "DELETE FROM embeddings_256 WHERE ctid::text LIKE '%3)'")


@dataclass(frozen=True)
class Setting:
    """A command with the database that it starts from."""

    work: Work
    prepare: Callable[[str], None]
    template: str = "sample"


def backing_up(directory: Path) -> tuple[str, ...]:
    return ("backup", "--dir", str(directory / "backups"))


def restoring(directory: Path) -> tuple[str, ...]:
    backups = directory / "backups"
    return ("restore", str(next(backups.glob("*backup*"))), "--dir", str(backups),
            "--confirm", PHRASE)  # fmt: skip


SETTINGS = {
    "migrate": Setting(
        Work(lambda _: ("migrate",), b"pg_try_advisory_xact_lock"),
        partial(apply_migrations, until="0104"), "template1",
    ),
    "purge": Setting(
        Work(lambda _: ("purge", "--what", "movies", *CONFIRMED), b"LOCK TABLE"),
        lambda _: None,
    ),
    "purge everything": Setting(
        Work(lambda _: ("purge", "--what", "everything", *CONFIRMED), b"LOCK TABLE"),
        fill_small, "template1",
    ),
    "clean": Setting(
        Work(
            lambda _: ("clean", "expired-sessions", "stale-embeddings", "old-runs", "dead-jobs",
                       "old-cache", "--apply", "--confirm", PHRASE),
            b"DELETE FROM",
        ),
        expire,
    ),
    "restore": Setting(Work(restoring, b"LOCK TABLE", b'ANALYZE "'), fill_small, "template1"),
    "backup": Setting(Work(backing_up, b"pg_export_snapshot", b""), expire),
    "vacuum": Setting(
        Work(lambda _: ("vacuum", "--reindex-hnsw", "--table", "embeddings_256",
                        "--table", "movies", "--table", "users"), b"REINDEX", b""),
        leave_dead_rows,
    ),
    "relink": Setting(Work(lambda _: ("relink", "--apply"), b"INSERT INTO"), purge_and_sync),
}  # fmt: skip


def template_of(name: str, server: MortalServer) -> str:
    """The database that a command starts from; made once in a run."""
    setting = SETTINGS[name]
    if setting.template == "sample":
        made = make_template(server.conninfo, "aperture_template", apply_migrations)
        make_template(server.conninfo, "sample", fill_sample, of=made)
    own = "before_" + name.replace(" ", "_")
    return make_template(server.conninfo, own, setting.prepare, of=setting.template)


@pytest.fixture
def make_places(
    server: MortalServer, tmp_path: Path
) -> Iterator[Callable[[str, int], list[Place]]]:
    """Makes databases for a command, each with a directory."""
    made: list[str] = []

    def make(name: str, count: int) -> list[Place]:
        template = template_of(name, server)
        for number in range(count):
            database = f"trial_{number}"
            with psycopg.connect(server.conninfo, autocommit=True) as admin:
                copy_database(admin, template, database)
            made.append(database)
            (tmp_path / database / "backups").mkdir(parents=True)
        places = [Place(server.of(database), tmp_path / database) for database in made]
        if name == "restore":
            dump = make_dump(places[0].conninfo, tmp_path).path
            for place in places:
                shutil.copy(dump, place.directory / "backups")
                execute(place.conninfo, *CHANGES)
        return places

    yield make
    with psycopg.connect(server.conninfo, autocommit=True) as admin:
        for database in made:
            admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    has_all = metafunc.config.getoption("--all-points")
    metafunc.parametrize("points", [10 if has_all else 3])
    if "fault" in metafunc.fixturenames:
        ends = [fault for fault in Fault if fault is not Fault.LOG]
        faults = ends if has_all else [Fault.TOOL, Fault.BACKEND, Fault.POSTMASTER]
        metafunc.parametrize("fault", faults)
        metafunc.parametrize("name", SETTINGS)
    else:
        metafunc.parametrize("name", SETTINGS if has_all else ["migrate", "purge"])


def test_an_end_in_the_middle(
    name: str,
    fault: Fault,
    points: int,
    server: MortalServer,
    make_places: Callable[[str, int], list[Place]],
) -> None:
    try_points(name, fault, points, server, make_places)


def test_a_write_ahead_log_without_room(
    name: str,
    points: int,
    server: MortalServer,
    make_places: Callable[[str, int], list[Place]],
    mount: Callable[[str], SmallDisk],
) -> None:
    """The server panics, and comes back when there is room again."""
    with server.log_on(mount("600m")) as cramped:
        try_points(name, Fault.LOG, points, cramped, make_places)


def try_points(
    name: str,
    fault: Fault,
    points: int,
    server: MortalServer,
    make_places: Callable[[str, int], list[Place]],
) -> None:
    work = SETTINGS[name].work
    undisturbed, *places = make_places(name, points + 1)
    before = read_contents(undisturbed.conninfo)
    texts = record(work, undisturbed)
    after = read_contents(undisturbed.conninfo)
    with stopped(work, texts, places) as trials:
        strike(fault, server, trials)
        require_nothing_left(server, trials)
    for trial in trials:
        now = read_contents(trial.place.conninfo)
        where = f"point {trial.point}, {texts[trial.number][:100]!r}: {trial.outcome.err}"
        ends = Ends(trial, before, now, after)
        assert ends.is_whole(name), where
        assert list((trial.place.directory / "tmp").iterdir()) == [], where
        assert list(trial.place.directory.rglob(".*")) == [], where
        if fault is not Fault.TOOL:
            assert ends.is_told(name), where
        again = run_inside(*work.arguments(trial.place.directory), database=trial.place.conninfo)
        assert again.code == 0, again.err
        assert read_contents(trial.place.conninfo) == after, where
        assert ends.is_tidy(again), where


@dataclass(frozen=True)
class Ends:
    """How a trial ended."""

    trial: Trial
    before: Contents
    now: Contents
    after: Contents

    @property
    def said(self) -> str:
        return " ".join(self.trial.outcome.err.split())

    @property
    def code(self) -> int:
        return self.trial.outcome.code

    def is_whole(self, name: str) -> bool:
        """Nothing is lost and nothing doubled."""
        match name:
            case "migrate":
                applied = self.now.counts["public.aperture_migrations"]
                _, structure = list(recorded_structures())[applied - 1]
                return not differences(structure, self.now.structure)
            case "clean" | "relink":
                between = all(
                    min(before, after) <= self.now.counts[table] <= max(before, after)
                    for table, before, after in self.tables
                )
                return between and self.now.structure == self.before.structure
            case "vacuum":
                left = {f"relation {index}" for index in self.invalid_indexes}
                return (
                    self.now.counts == self.before.counts
                    and self.now.others - left == self.before.others
                )
            case "backup":
                return self.now.structure == self.before.structure and all(
                    backup.code == 0 for backup in map(verify, self.backups)
                )
        return self.now in (self.before, self.after)

    def is_told(self, name: str) -> bool:
        """What the tool said is the case, and it said something."""
        match name:
            case "backup" if self.code == 0:
                is_recorded = "was not recorded" not in self.said
                return len(self.backups) == 1 and is_recorded == (self.now == self.after)
            case _ if self.code == 0:
                # The fault came after the work, or met what can be done without.
                return self.now == self.after
            case "migrate":
                told = int(re.findall(r"in this run: (\d+)", self.said)[-1])
                done = self.difference("public.aperture_migrations")
                is_known = "the server reports that it was" in self.said
                return done == told or (done == told + 1 and not is_known)
            case "clean":
                told_rows = re.findall(r"([\d,]+) rows? (?:was|were) deleted from (\w+)", self.said)
                rows = {f"public.{table}": int(n.replace(",", "")) for n, table in told_rows}
                gone = {t: before - self.now.counts[t] for t, before, _ in self.tables}
                return rows == {table: count for table, count in gone.items() if count}
            case "backup":
                return not self.backups and "no backup was made" in self.said
            case "vacuum":
                names = [index.rpartition(".")[2].strip('"') for index in self.invalid_indexes]
                return self.code == 1 and all(
                    f'DROP INDEX CONCURRENTLY "public"."{name}";' in self.said for name in names
                )
            case "relink":
                return "what was put back up to now stays, the rest still waits" in self.said
        is_done = "it was committed" in self.said
        is_undone = any(phrase in self.said for phrase in UNCHANGED)
        return is_done != is_undone and self.now == (self.after if is_done else self.before)

    def is_tidy(self, again: Outcome) -> bool:
        """After the second run, too, nothing is there that nobody was told of."""
        return all(index.split(".")[-1] in again.err for index in self.invalid_indexes)

    @property
    def tables(self) -> list[tuple[str, int, int]]:
        return [(t, count, self.after.counts[t]) for t, count in self.before.counts.items()]

    def difference(self, table: str) -> int:
        return self.now.counts[table] - self.before.counts[table]

    @property
    def backups(self) -> list[Path]:
        return list((self.trial.place.directory / "backups").glob("aperture_backup_*"))

    @property
    def invalid_indexes(self) -> list[str]:
        with psycopg.connect(self.trial.place.conninfo) as conn:
            found = conn.execute(
                "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
            )
            return [name for (name,) in found]


# What says that a transaction did not take place.
UNCHANGED = (
    "nothing was changed", "nothing was restored", "the database is unchanged",
    "the server rolls back the open transaction",
)  # fmt: skip


def verify(backup: Path) -> Outcome:
    return run_inside("backup", "--verify", str(backup))
