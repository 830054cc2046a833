"""Root works in a directory of another account, which exchanges every name that it can."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from aperture_db import new_files
from aperture_db.backup.directory import BackupDirectory, list_backups
from aperture_db.new_files import new_file, partial_file, replace_file
from aperture_db.safe_files import ReplacedFileError, hold_directory
from tests.program import run_inside
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account's files")

NewDatabase = Callable[[], str]
ATTACKER = 4321
SECRET = "root's own words\n"
# Puts links and its own files in place of everything that is being written, without a pause.
ATTACK = """
import os, sys
account, directory, victim = sys.argv[1:]
os.setgroups([]); os.setgid(int(account)); os.setuid(int(account))
os.chdir(directory)
open("started", "w").close()
turn = 0
while True:
    for name in os.listdir("."):
        if name == "started" or name.startswith("mine"):
            continue
        turn += 1
        try:
            if turn % 4 == 0:
                os.symlink(victim, "mine"); os.rename("mine", name)
            elif turn % 4 == 1:
                os.unlink(name); os.symlink(victim, name)
            elif turn % 4 == 2:
                open("mine2", "w").write("mine"); os.rename("mine2", name)
            else:
                os.rename(name, "mine3"); os.mkfifo(name); os.rename("mine3", name)
        except OSError:
            for left in ("mine", "mine2", "mine3"):
                try: os.unlink(left)
                except OSError: pass
"""


@dataclass(frozen=True)
class Surroundings:
    """A directory of the attacker's, and a file that only root may write."""

    directory: Path
    victim: Path
    has_names: bool
    """What is written there has a temporary name, as on file systems where it must have one."""

    def require_unharmed(self) -> None:
        status = self.victim.stat()
        assert self.victim.read_text() == SECRET
        assert (status.st_uid, status.st_mode & 0o777, status.st_nlink) == (0, 0o600, 1)


@pytest.fixture(params=["without a name", "under a temporary name"])
def surroundings(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Surroundings]:
    has_names = request.param == "under a temporary name"
    if has_names:
        monkeypatch.setattr(new_files, "_create_unnamed", lambda _directory: None)
    # pytest's own directories can't be entered by other accounts.
    home = Path(tempfile.mkdtemp(prefix="hostile-"))
    home.chmod(0o755)
    directory = home / "backups"
    directory.mkdir()
    os.chown(directory, ATTACKER, ATTACKER)
    victim = home / "victim"
    victim.write_text(SECRET)
    victim.chmod(0o600)
    yield Surroundings(directory, victim, has_names)
    shutil.rmtree(home)


@contextmanager
def attacked(around: Surroundings) -> Iterator[None]:
    """The attack runs, as the directory's owner, during the block."""
    # Python itself may be out of the other account's reach: it changes to it when it runs.
    attack = subprocess.Popen(
        [sys.executable, "-c", ATTACK, str(ATTACKER), around.directory, around.victim]
    )
    try:
        wait_until((around.directory / "started").exists, "the attack runs")
        yield
        assert attack.poll() is None, "the attack ran all the time"
    finally:
        attack.kill()
        attack.wait()


def test_three_hundred_new_files(surroundings: Surroundings) -> None:
    outcomes = {"published": 0, "refused": 0}
    seen: set[str] = set()
    with attacked(surroundings), hold_directory(surroundings.directory) as held:
        for number in range(5_000):
            if number >= 300 and (outcomes["refused"] > 10 or not surroundings.has_names):
                break
            try:
                with partial_file(held) as partial:
                    partial.append(b"begin ")
                    partial.give_to_directory_owner()
                    partial.append(b"end")
                    seen.update(held.names())
                    assert partial.read_at(0, 100) == b"begin end"
                    partial.publish(f"file{number}")
            except (ReplacedFileError, FileNotFoundError, FileExistsError):
                outcomes["refused"] += 1
            else:
                outcomes["published"] += 1
    surroundings.require_unharmed()
    if surroundings.has_names:
        assert outcomes["refused"] > 10
    else:
        assert not any(name.startswith(".aperture_") for name in seen)
        assert outcomes["published"] > 250


def test_exports_and_outputs(surroundings: Surroundings) -> None:
    with attacked(surroundings):
        for number in range(100):
            with suppress(OSError), new_file(surroundings.directory / f"new{number}") as file:
                file.append(b"export")
            with suppress(OSError):
                replace_file(surroundings.directory / "metrics.prom", "up 1\n")
    surroundings.require_unharmed()


def test_backups(aperture_database: NewDatabase, surroundings: Surroundings) -> None:
    conninfo = aperture_database()
    with attacked(surroundings):
        for _ in range(5):
            outcome = run_inside(
                "backup", "--dir", str(surroundings.directory), "--keep", "1", database=conninfo
            )
            assert outcome.code in (0, 1), outcome.err
            assert "internal error" not in outcome.err
            assert outcome.code == 0 or "replaced the file" in outcome.err, outcome.err
    surroundings.require_unharmed()


def test_links_that_wait_under_the_names_of_backups(
    aperture_database: NewDatabase, surroundings: Surroundings
) -> None:
    directory = surroundings.directory
    (directory / "aperture_backup_2020-01-01_00-00-00.dump").symlink_to(surroundings.victim)
    (directory / ".aperture_0123456789ab.partial").symlink_to(surroundings.victim)
    os.mkfifo(directory / "aperture_backup_2020-01-02_00-00-00.dump")
    os.mkfifo(directory / ".aperture_0123456789ac.partial")

    outcome = run_inside(
        "backup", "--dir", str(directory), "--keep", "1", database=aperture_database()
    )

    assert outcome.code == 0, outcome.err
    (listed,) = list_backups(BackupDirectory(directory, "--dir", is_chosen=True)).backups
    assert listed.is_ours
    assert listed.path.stat().st_uid == ATTACKER, "its owner may read it"
    surroundings.require_unharmed()
