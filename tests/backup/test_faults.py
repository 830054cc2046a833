"""A backup that fails leaves no file under a final name, and the old ones alone."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import pytest

from tests.backup.stand_ins import stand_in
from tests.cli import COMMAND, Outcome, environment, finish
from tests.dump_files import PLACES, execute, fetch_one, make_dump, start_program
from tests.program import run_inside
from tests.servers.programs import NO_MOUNTS
from tests.waiting import wait_until, waits_for_lock

NewDatabase = Callable[[], str]
OLD = "aperture_backup_2024-01-01_00-00-00.dump"


@pytest.fixture
def conninfo(aperture_database: NewDatabase) -> str:
    return aperture_database()


@pytest.fixture
def directory(conninfo: str, tmp_path: Path) -> Path:
    """A backup directory with one good backup of ours in it."""
    backups = tmp_path / "backups"
    backups.mkdir()
    make_dump(conninfo, backups).path.rename(backups / OLD)
    return backups


def start(conninfo: str, directory: Path, path: str) -> subprocess.Popen[str]:
    options = ("--dir", str(directory), "--keep", "1")
    return start_program("backup", *options, conninfo=conninfo, PATH=path)


def require_only_the_old_one(directory: Path) -> None:
    assert [file.name for file in directory.iterdir()] == [OLD]
    assert run_inside("backup", "--verify", str(directory / OLD)).code == 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ('echo "pg_dump: error: out of luck" >&2; exit 1', "out of luck"),
        ('"$REAL" "$@"; echo "pg_dump: error: at the end" >&2; exit 3', "at the end"),
        ('"$REAL" "$@"; kill -9 $$', "killed by signal 9"),
        ("exit 0", "does not begin like a script of pg_dump"),
        ('"$REAL" "$@" --exclude-table-data=aperture_migrations', "aperture_migrations has"),
        ('"$REAL" "$@" && truncate -s -200 "$FILE"', "pg_restore cannot read it"),
        ('"$REAL" "$@" --schema-only', "rows and the dump has"),
    ],
    ids=["fails", "fails late", "killed", "empty", "a table less", "cut", "no rows"],
)
def test_a_pg_dump_that_fails_or_lies(
    script: str, reason: str, conninfo: str, directory: Path, tmp_path: Path
) -> None:
    outcome = finish(start(conninfo, directory, stand_in(tmp_path / "bin", script)))

    assert outcome.code == 1, outcome.err
    assert reason in outcome.err
    assert "next:" in outcome.err
    require_only_the_old_one(directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(number: signal.Signals, conninfo: str, directory: Path, tmp_path: Path) -> None:
    path = stand_in(tmp_path / "bin", WRITES_HALF)
    process = start(conninfo, directory, path)
    child = wait_for_child(tmp_path)

    process.send_signal(number)
    outcome = finish(process)

    assert outcome.code == 128 + number
    assert "no backup was made; earlier ones were not changed" in outcome.err
    wait_until(lambda: has_ended(child), "pg_dump has ended", timeout_seconds=2)
    require_only_the_old_one(directory)


WRITES_HALF = 'echo half > "$FILE"; echo $$ > "$0.new"; mv "$0.new" "$0.pid"; exec sleep 60'


def wait_for_child(tmp_path: Path) -> int:
    """The pid of the stand-in, when it has written to its file."""
    pid_file = tmp_path / "bin" / "pg_dump.pid"
    wait_until(pid_file.exists, "pg_dump is writing")
    return int(pid_file.read_text())


def test_kill_9_ends_pg_dump_too(conninfo: str, directory: Path, tmp_path: Path) -> None:
    process = start(conninfo, directory, stand_in(tmp_path / "bin", WRITES_HALF))
    child = wait_for_child(tmp_path)

    process.kill()
    process.communicate()

    wait_until(lambda: has_ended(child), "pg_dump has ended", timeout_seconds=2)


def test_kill_9_ends_the_sessions_too(conninfo: str, directory: Path, tmp_path: Path) -> None:
    """A real pg_dump that waits for a lock: its session and its locks go with it."""
    script = 'touch "$0.started"; until [ -e "$0.go" ]; do sleep 0.1; done; exec "$REAL" "$@"'
    path = stand_in(tmp_path / "bin", script)
    with psycopg.connect(conninfo) as holder:
        process = start(conninfo, directory, path)
        wait_until((tmp_path / "bin/pg_dump.started").exists, "pg_dump is started")
        holder.execute("LOCK TABLE movies")
        (tmp_path / "bin/pg_dump.go").touch()
        wait_until(lambda: waits_for_lock(conninfo), "pg_dump waits for the lock")

        process.kill()
        process.communicate()

        sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aperture-db'"
        sessions += " AND datname = current_database()"
        wait_until(lambda: not fetch_one(conninfo, sessions), "no session is left", 5)


def test_kill_9_leaves_nothing(conninfo: str, directory: Path, tmp_path: Path) -> None:
    """Although this pg_dump ignores the signal, runs on, and holds on to the file."""
    path = stand_in(tmp_path / "bin", "trap '' TERM; " + WRITES_HALF)
    process = start(conninfo, directory, path)
    child = wait_for_child(tmp_path)
    process.kill()
    process.communicate()
    require_only_the_old_one(directory)

    assert run_inside("backup", "--dir", str(directory), database=conninfo).code == 0
    assert not has_ended(child)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: has_ended(child), "it has ended")


def has_ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or is_zombie(pid)


def is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_locked_table(conninfo: str, directory: Path) -> None:
    with psycopg.connect(conninfo, application_name="the holder") as holder:
        holder.execute("LOCK TABLE movies")

        outcome = run_inside(
            "backup", "--dir", str(directory), "--lock-timeout", "1s", database=conninfo
        )

    assert outcome.code == 6
    assert "the holder" in outcome.err
    require_only_the_old_one(directory)


def test_a_directory_that_is_not_there(conninfo: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    outcome = run_inside("backup", "--dir", str(missing), database=conninfo)
    assert outcome.code == 2
    assert f"next:  mkdir -p {missing}" in outcome.err
    assert not missing.exists()


def test_the_containers_directory_outside_of_it(conninfo: str, tmp_path: Path) -> None:
    execute(conninfo, f"UPDATE backup_config SET backup_path = '{tmp_path}/missing'")
    outcome = run_inside("backup", database=conninfo)
    assert outcome.code == 1
    assert "a path inside Aperture's container" in outcome.err
    assert "--dir" in outcome.err


def test_an_unwritable_directory(conninfo: str, directory: Path) -> None:
    """The exact chown for the account that runs the tool; root can't be told to be root."""
    directory.chmod(0o555)
    command = [*COMMAND, "backup", "--dir", str(directory)]
    if os.geteuid() == 0:
        os.chown(directory, 1234, 1234)
        command = [*without_roots_powers(), *command]
    owner = directory.stat()
    done = subprocess.run(
        command,
        env=environment(conninfo, **PLACES),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    directory.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert f"it belongs to {owner.st_uid}:{owner.st_gid} (mode 555)" in done.stderr
    if os.geteuid() == 0:
        assert "next:  run the command as 1234:1234 (docker exec -u 1234:1234" in done.stderr
    else:
        account = f"{os.geteuid()}:{os.getegid()}"
        assert f"next:  as root run: chown {account} {directory}" in done.stderr
    require_only_the_old_one(directory)


def without_roots_powers() -> list[str]:
    """What runs a command as a root that file modes bind like everybody else."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed (Debian package util-linux)")
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search"]


def in_mount_namespace(script: str, arguments: Sequence[str], conninfo: str) -> Outcome:
    """Run a shell script where it may mount; `$@` is the program with its arguments."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed (Debian package util-linux)")
    namespace = [unshare, "--mount"] if os.geteuid() == 0 else [unshare, "-r", "--mount"]
    probe = subprocess.run(
        [*namespace, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"{NO_MOUNTS}, even in a namespace")
    done = subprocess.run(
        [*namespace, "/bin/sh", "-ec", script, "sh", *COMMAND, *arguments],
        env=environment(conninfo, **PLACES),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("kilobytes", [64, 200, 400])
def test_a_full_disk(kilobytes: int, sample_database: NewDatabase, tmp_path: Path) -> None:
    conninfo = sample_database()
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        f"mount -t tmpfs -o size={kilobytes}k none {disk}; echo old > {disk}/{OLD}; "
        f'code=0; "$@" || code=$?; ls -A {disk}; exit $code'
    )

    outcome = in_mount_namespace(script, ["backup", "--dir", str(disk)], conninfo)

    assert outcome.code == 1, outcome.err
    assert f"not enough space in {disk}" in outcome.err
    assert outcome.out.split() == [OLD]


def test_a_device_without_space(conninfo: str, directory: Path, tmp_path: Path) -> None:
    """What pg_dump itself says, on a machine that forbids to mount a small disk, too."""
    script = 'for word; do shift; case "$word" in --file=*) word=--file=/dev/full;; esac; '
    script += 'set -- "$@" "$word"; done; "$REAL" "$@"'
    outcome = finish(start(conninfo, directory, stand_in(tmp_path / "bin", script)))
    assert outcome.code == 1, outcome.err
    assert f"not enough space in {directory}" in outcome.err
    require_only_the_old_one(directory)


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "not enough space in"),
        (errno.EDQUOT, "not enough space in"),
        (errno.EROFS, "its file system is mounted read-only"),
    ],
    ids=["full", "quota", "read-only"],
)
def test_a_disk_that_fails_at_the_last_bytes(
    number: int,
    reason: str,
    conninfo: str,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("aperture_db.backup.create.write_checksum", fail)
    outcome = run_inside("backup", "--dir", str(directory), "--keep", "1", database=conninfo)
    assert outcome.code == 1
    assert reason in outcome.err
    require_only_the_old_one(directory)


def test_a_read_only_root_without_home(conninfo: str, tmp_path: Path) -> None:
    """As in a hardened container: nothing can be written but the backup directory."""
    script = (
        f"mount -t tmpfs none {tmp_path}; mount -o remount,bind,ro /; unset HOME; export HOME; "
        f'! touch /tmp/probe 2>/dev/null; "$@" backup --dir {tmp_path}; '
        f'"$@" backup --verify {tmp_path}/*.dump; '
        f'"$@" restore {tmp_path}/*.dump --confirm "yes I am sure"; ls -A {tmp_path}'
    )

    outcome = in_mount_namespace(script, [], conninfo)

    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    names = outcome.out.split()[-2:]
    assert [name[:16] for name in names] == ["aperture_backup_", "aperture_before_"]
