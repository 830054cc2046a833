"""The parts of the image that can be tried without building it; scripts/build-image.sh builds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aperture_db.postgres.embedded import free_port
from tests.cli import Outcome, environment, run_cli
from tests.container.conftest import migrations
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
SCRIPTS = [*DOCKER.glob("*.sh"), *(ROOT / "scripts").glob("*.sh")]


@pytest.mark.parametrize(
    ("linter", "files"), [("hadolint", [ROOT / "Dockerfile"]), ("shellcheck", SCRIPTS)]
)
def test_linters_find_nothing(linter: str, files: list[Path]) -> None:
    program = shutil.which(linter, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{linter} is not installed (dependency group dev)")
    done = subprocess.run([program, *files], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_shell_scripts_are_of_use_to_a_plain_shell() -> None:
    for script in SCRIPTS:
        assert script.read_text().startswith("#!/bin/sh\n")
        subprocess.run(["/bin/sh", "-n", script], check=True)


class TestHealthCheck:
    """What `docker ps` shows for a container that waits for `docker exec`."""

    def check(self, conninfo: str | None, **variables: str) -> Outcome:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["/bin/sh", DOCKER / "healthcheck.sh"],
            env=environment(conninfo, **variables) | {"PATH": path},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def test_healthy_is_who_reaches_the_database(self, new_database: Callable[[], str]) -> None:
        outcome = self.check(new_database())
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")

    def test_unhealthy_tells_why(self) -> None:
        for variables in ({}, {"RUN_MIGRATIONS_ON_START": "true"}):
            nowhere = f"postgresql://aperture@127.0.0.1:{free_port()}/aperture"
            outcome = self.check(nowhere, **variables)
            assert outcome.code == 1
            assert "nothing listens on 127.0.0.1" in outcome.out + outcome.err

    def test_who_was_told_to_migrate_is_healthy_when_that_is_done(
        self, new_database: Callable[[], str], tmp_path: Path
    ) -> None:
        told = {"RUN_MIGRATIONS_ON_START": "true"} | migrations(tmp_path, "SELECT 1;")
        conninfo = new_database()
        outcome = self.check(conninfo, **told)
        assert outcome.code == 1
        assert "1 of 1 migration is pending" in outcome.err
        assert run_cli("migrate", "--dir", str(tmp_path), conninfo=conninfo).code == 0
        assert self.check(conninfo, **told).code == 0


class TestCollectAdded:
    """What the target `aperture` lays into Aperture's image."""

    @pytest.fixture
    def system(self, tmp_path: Path) -> Path:
        """A root directory with old files, and a marker beside it made after them."""
        system = tmp_path / "system"
        (system / "usr/bin").mkdir(parents=True)
        (system / "usr/bin/old").write_text("old")
        (system / "usr/lib").mkdir()
        (system / "lib").symlink_to("usr/lib")
        marker = tmp_path / "marker"

        def is_later_than_all() -> bool:
            marker.write_text(str(time.time_ns()))
            old = (system / "lib", system / "usr/bin/old")
            return marker.stat().st_ctime_ns > max(path.lstat().st_ctime_ns for path in old)

        wait_until(is_later_than_all, "the clock of the file system has moved on")
        return system

    def collect(self, system: Path) -> Path:
        into = system / "added"
        into.mkdir()
        subprocess.run(
            [sys.executable, DOCKER / "collect_added.py", system.parent / "marker", system, into],
            check=True,
        )
        return into

    def test_new_and_changed_files_come_as_they_are(self, system: Path) -> None:
        packed = system / "lib/python3/packed.py"
        packed.parent.mkdir(mode=0o750)
        packed.write_text("new")
        packed.chmod(0o640)
        os.utime(packed, (0, 0))  # A package's files are dated back.
        (system / "usr/bin/python3").symlink_to("../lib/python3/packed.py")
        (system / "usr/lib/link").symlink_to("python3")
        (system / "usr/bin/old").write_text("changed")
        into = self.collect(system)
        found = {str(path.relative_to(into)) for path in into.rglob("*") if not path.is_dir()}
        assert found == {"usr/lib/python3/packed.py", "usr/bin/python3", "usr/bin/old"}
        copied = into / "usr/lib/python3/packed.py"
        assert (copied.stat().st_mtime, copied.stat().st_mode & 0o777) == (0, 0o640)
        assert copied.parent.stat().st_mode & 0o777 == 0o750
        assert (into / "usr/bin/python3").readlink() == Path("../lib/python3/packed.py")
        assert (into / "usr/lib/link").readlink() == Path("python3")
        assert (into / "usr/bin/old").read_text() == "changed"

    def test_old_files_stay_out(self, system: Path) -> None:
        assert not [path for path in self.collect(system).rglob("*") if path.is_file()]

    def test_what_belongs_to_the_build_stays_out(self, system: Path) -> None:
        for name in ("build/source/a", "tmp/a", "root/.cache/a", "etc/resolv.conf", "etc/hosts"):
            (system / name).parent.mkdir(parents=True, exist_ok=True)
            (system / name).write_text("x")
        (system / "etc/added.conf").write_text("x")
        into = self.collect(system)
        assert [path for path in into.rglob("*") if path.is_file()] == [into / "etc/added.conf"]
