"""`aperture-db demo` from start to end, as processes."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from aperture_db.postgres.embedded import BIND_ADDRESS
from tests.cli import finish, run_cli
from tests.demo.homes import Home, end_servers
from tests.waiting import wait_until


def movies(home: Home) -> int:
    with home.connect() as conn:
        row = conn.execute("SELECT count(*) FROM movies").fetchone()
        assert row is not None
        return int(row[0])


def mark(home: Home) -> None:
    with home.connect() as conn:
        # A crash costs the demo what it committed in the last moment.
        conn.execute("SET synchronous_commit = on")
        conn.execute("CREATE TABLE IF NOT EXISTS mark ()")


def is_marked(home: Home) -> bool:
    with home.connect() as conn:
        row = conn.execute("SELECT to_regclass('mark') IS NOT NULL").fetchone()
        assert row is not None
        return bool(row[0])


def test_from_nothing_to_statistics(home: Home) -> None:
    outcome = home.run()
    assert outcome.code == 0, outcome.err
    assert re.search(r"movies +296", outcome.out)
    export = f"export DATABASE_URL_FILE={shlex.quote(str(home.url_file))}"
    assert f"\n    {export}\n" in outcome.out
    phases = outcome.err.splitlines()
    assert phases[0] == "Preparing PostgreSQL"
    assert "Applying migrations" in phases
    assert home.url_file.stat().st_mode & 0o777 == 0o600
    # The line that was printed is one that a shell takes.
    shown = subprocess.run(
        ["/bin/sh", "-c", f'{export}; exec "$0" -m aperture_db migrate --check', sys.executable],
        capture_output=True, text=True, check=False,
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr


def test_again_while_it_runs(made_home: Home) -> None:
    first = made_home.run_json()
    pid = made_home.pid
    again = made_home.run_json("start")
    assert again["origin"] == "running"
    assert (again["port"], made_home.pid) == (first["port"], pid)


def test_stop_and_start_keep_the_data(made_home: Home) -> None:
    made_home.run_json()
    mark(made_home)
    assert made_home.run_json("stop")["was_running"] is True
    assert not made_home.server_pids()
    assert made_home.run_json("stop")["was_running"] is False
    assert made_home.run_json()["origin"] == "started"
    assert is_marked(made_home)


def test_another_port_when_the_old_one_is_taken(made_home: Home) -> None:
    made_home.run_json()
    mark(made_home)
    port = made_home.run_json()["port"]
    made_home.run_json("stop")
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind((BIND_ADDRESS, port))
        taker.listen()
        data = made_home.run_json()
    assert data["origin"] == "started"
    assert data["port"] != port
    assert f":{data['port']}/" in made_home.url_file.read_text()
    assert is_marked(made_home)


def test_after_a_crash_of_the_machine(made_home: Home) -> None:
    """The server is gone, and its pid belongs to another process of the same account."""
    made_home.run_json()
    mark(made_home)
    pid_file = made_home.demo / "data" / "postmaster.pid"
    content = pid_file.read_text()
    owner = pid_file.stat()
    end_servers(made_home)
    account = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["/bin/sleep", "600"], **account)  # type: ignore[call-overload]
    try:
        pid_file.write_text(re.sub(r"\A\d+", str(stranger.pid), content))
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        assert made_home.run_json("stop")["was_running"] is False
        assert made_home.run_json()["origin"] == "started"
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    assert is_marked(made_home)


def test_reset_makes_a_new_one(made_home: Home) -> None:
    made_home.run_json()
    mark(made_home)
    backup = made_home.demo / "backups" / "mine.dump"
    backup.write_text("")
    url = made_home.url_file.read_text()
    assert made_home.run_json("reset")["origin"] == "created"
    assert not is_marked(made_home)
    assert not backup.exists()
    assert made_home.url_file.read_text() != url


def test_remove_deletes_everything(home: Home) -> None:
    home.run_json()
    (home.root / "unpack-killed" / "data").mkdir(parents=True)
    data = home.run_json("remove")
    assert data == {"existed": True, "directory": str(home.root)}
    assert not home.root.exists()
    assert not home.server_pids()
    outcome = home.run("remove")
    assert (outcome.code, outcome.out) == (0, "There was no demo to delete.\n")
    assert not home.root.exists()


def test_remove_leaves_files_of_others(home: Home) -> None:
    home.root.joinpath("demo").mkdir()
    home.root.joinpath("postgresql-of-mine").mkdir()
    outcome = home.run("remove")
    assert (outcome.code, outcome.out) == (
        0, "The demo is deleted, with its server's programs and its backups.\n",
    )  # fmt: skip
    assert [entry.name for entry in home.root.iterdir()] == ["postgresql-of-mine"]


def test_remove_waits_and_the_next_run_starts_anew(home: Home) -> None:
    """The lock's file is deleted while others wait for it."""
    with (home.root / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs = [home.start("remove", "--json") for _ in range(2)]
        runs.append(home.start("stop", "--json"))
        for run in runs:
            wait_until(lambda run=run: is_waiting_for_lock(run.pid), "the run waits")  # type: ignore[misc]
    outcomes = [finish(run) for run in runs]
    assert [outcome.code for outcome in outcomes] == [0, 0, 0], outcomes
    assert sorted(outcome.envelope["data"].get("existed", "-") for outcome in outcomes[:2]) == [
        False,
        True,
    ]


def is_waiting_for_lock(pid: int) -> bool:
    """Linux lists who waits for a lock of a file with an arrow."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and str(pid) in line.split() for line in lines)


def test_backups_go_to_the_demo(made_home: Home) -> None:
    made_home.run_json()
    with made_home.connect() as conn:
        config = conn.execute("SELECT backup_path, last_backup_at FROM backup_config").fetchone()
    assert config == (str(made_home.demo / "backups"), None)


def test_the_finished_demo_survives_a_crash(made_home: Home) -> None:
    """It is filled without fsync, and runs with it."""
    made_home.run_json()
    with made_home.connect() as conn:
        assert conn.execute("SHOW fsync").fetchone() == ("on",)


def test_a_lost_connection_string_makes_a_new_demo(made_home: Home) -> None:
    made_home.run_json()
    made_home.url_file.unlink()
    assert made_home.run_json()["origin"] == "created"
    assert len(made_home.server_pids()) > 0


def test_no_password_anywhere(made_home: Home) -> None:
    made_home.run_json("stop")
    for arguments in ((), ("--json",), ("-vv",), ("stop", "-vv"), ("--json", "-vv")):
        outcome = made_home.run(*arguments)
        match = re.search(r":(\w+)@", made_home.url_file.read_text())
        assert match is not None
        assert match[1] not in outcome.out + outcome.err


def test_a_variable_that_goes_before(made_home: Home) -> None:
    outcome = made_home.run(DATABASE_URL="postgresql://u:sentinel@db/aperture")
    assert outcome.code == 0
    assert "\n    unset DATABASE_URL\n    export DATABASE_URL_FILE=" in outcome.out
    assert "warning: DATABASE_URL is set" in outcome.err
    assert "sentinel" not in outcome.out + outcome.err
    pointed = made_home.run(DATABASE_URL_FILE=str(made_home.url_file))
    assert "This shell uses it already." in pointed.out
    assert "export" not in pointed.out


def test_quiet_says_nothing(made_home: Home) -> None:
    outcome = made_home.run("-q")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_two_at_once(home: Home) -> None:
    runs = [home.start("--json") for _ in range(2)]
    outcomes = [finish(run) for run in runs]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    data = [outcome.envelope["data"] for outcome in outcomes]
    assert sorted(each["origin"] for each in data) == ["created", "running"]
    assert data[0]["port"] == data[1]["port"]
    assert "Waiting for another run" in outcomes[0].err + outcomes[1].err


# What is there when the making is killed: initdb at work, the server up, the contents half done.
STAGES = {
    "initdb": lambda home: (home.demo / "data" / "PG_VERSION").exists(),
    "server": lambda home: home.url_file.exists(),
}


@pytest.mark.parametrize("stage", STAGES)
def test_killed_midway(home: Home, stage: str) -> None:
    run = home.start()
    wait_until(lambda: STAGES[stage](home), f"the demo got to its {stage}")
    run.kill()
    finish(run)
    outcome = home.run("--json")
    assert outcome.code == 0, outcome.err
    assert outcome.envelope["data"]["origin"] == "created"
    assert "Deleting an unfinished or outdated demo" in outcome.err
    assert movies(home) == 296
    home.run_json("stop")
    wait_until(lambda: not home.server_pids(), "no other server is left")


def test_terminated_midway(home: Home) -> None:
    run = home.start()
    wait_until(home.url_file.exists, "the server was started")
    run.send_signal(signal.SIGTERM)
    outcome = finish(run)
    assert outcome.code == 143
    assert outcome.err.splitlines()[-1] == ("interrupted: no unfinished demo is left")
    assert not home.demo.exists()
    assert not home.server_pids()


def test_a_directory_of_somebody_else_is_left_alone(home: Home) -> None:
    home.demo.mkdir()
    (home.demo / "thesis.txt").write_text("irreplaceable")
    for arguments in ((), ("stop",), ("reset",), ("remove",)):
        outcome = home.run(*arguments)
        assert outcome.code == 2
        assert "was not made by aperture-db demo" in outcome.err
    assert (home.demo / "thesis.txt").read_text() == "irreplaceable"


def test_stop_without_a_demo(home: Home) -> None:
    outcome = home.run("stop")
    assert (outcome.code, outcome.out) == (0, "The demo was not running.\n")


def test_no_room_for_it(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    outcome = run_cli("demo", "--json", APERTURE_DB_HOME=str(occupied / "home"))
    assert outcome.code == 2
    assert outcome.envelope["error"]["code"] == "bad_home"


@pytest.mark.parametrize("arguments", [("bogus",), ("--bogus",), ("--json", "stop")])
def test_what_it_does_not_understand(arguments: tuple[str, ...]) -> None:
    outcome = run_cli("demo", *arguments)
    assert outcome.code == 2
    assert "next:  aperture-db demo" in outcome.err


def test_help_names_the_commands() -> None:
    outcome = run_cli("demo", "--help")
    assert outcome.code == 0
    for name in ("start", "stop", "reset", "remove"):
        assert name in outcome.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_as_an_ordinary_user() -> None:
    """Unpacks, creates and stops with nothing but a home directory."""
    account = pwd.getpwnam("nobody")
    user_home = Path(tempfile.mkdtemp(prefix="aperture-db-user-"))
    os.chown(user_home, account.pw_uid, account.pw_gid)
    command = [*as_user(account), sys.executable, "-m", "aperture_db", "demo"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(user_home)}
    home = Home(user_home / ".local" / "share" / "aperture-db")
    sockets = set(Path("/tmp").glob(".s.PGSQL.*"))
    try:
        subprocess.run(command, env=environ, cwd="/", check=True, capture_output=True)
        assert set(Path("/tmp").glob(".s.PGSQL.*")) <= sockets
        assert home.url_file.stat().st_uid == account.pw_uid
        assert Path(f"/proc/{home.pid}").stat().st_uid == account.pw_uid
        assert movies(home) == 296
        subprocess.run([*command, "stop"], env=environ, cwd="/", check=True, capture_output=True)
        assert not home.server_pids()
    finally:
        end_servers(home)
        shutil.rmtree(user_home)


def as_user(account: pwd.struct_passwd) -> list[str]:
    """A command prefix that becomes the user, who may still read this Python and its packages:
    they may lie below root's home."""
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed (Debian package util-linux)")
    return [
        "setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups",
        "--inh-caps=+dac_override", "--ambient-caps=+dac_override",
    ]  # fmt: skip
