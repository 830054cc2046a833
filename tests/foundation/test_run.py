"""What every command has: streams, the JSON object, exit codes, waiting for the database."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db import errors
from aperture_db.cli.app import COMMANDS
from aperture_db.cli.command import EXIT_CODE_RULES
from aperture_db.postgres.embedded import free_port
from tests.cli import finish, run_cli
from tests.foundation.running import PROBE, probe_environment, run_probe, start_probe
from tests.servers.starting import StartingServer


def test_results_go_to_stdout_and_everything_else_to_stderr(admin_conninfo: str) -> None:
    done = run_probe("--sql", "SELECT 'result'", conninfo=admin_conninfo)
    assert (done.code, done.out) == (0, "result\n")
    assert done.err == "running: SELECT 'result'\n"


def test_quiet(admin_conninfo: str) -> None:
    done = run_probe("-q", conninfo=admin_conninfo)
    assert (done.code, done.out, done.err) == (0, "", "")
    done = run_probe("-q", conninfo=f"{admin_conninfo} port={free_port()}")
    assert done.code == 3
    assert done.err.startswith("error: ")


def test_verbose_names_the_target_and_its_source(new_database: Callable[[], str]) -> None:
    done = run_probe("-v", conninfo=new_database())
    assert done.err.splitlines()[0].startswith("database: postgres@127.0.0.1:")
    assert done.err.splitlines()[0].endswith(" (from DATABASE_URL)")


def test_json_of_success(admin_conninfo: str) -> None:
    done = run_probe("--json", "--sql", "SELECT 1.5::float8", conninfo=admin_conninfo)
    assert done.code == 0
    assert json.loads(done.out) == {
        "schema_version": 1,
        "command": "probe",
        "ok": True,
        "data": {"values": [1.5]},
        "warnings": [],
        "error": None,
    }


def test_json_of_a_failed_statement(admin_conninfo: str) -> None:
    done = run_probe("--json", "--sql", "SELECT 1/0", conninfo=admin_conninfo)
    assert done.code == 1
    assert json.loads(done.out) == {
        "schema_version": 1,
        "command": "probe",
        "ok": False,
        "data": None,
        "warnings": [],
        "error": {
            "code": "statement_failed",
            "message": "the database refused a statement",
            "cause": "division by zero (SQLSTATE 22012)",
            "next": "run again with -vv and report the output",
        },
    }


def test_json_without_a_connection() -> None:
    port = free_port()
    done = run_probe("--json", "-d", f"postgresql://u:p@localhost:{port}/d?schema=public")
    assert done.code == 3
    assert json.loads(done.out) == {
        "schema_version": 1,
        "command": "probe",
        "ok": False,
        "data": None,
        "warnings": ["unknown options in the connection string are ignored: schema"],
        "error": {
            "code": "connection_refused",
            "message": f"can't connect to u@localhost:{port}/d (from --database-url)",
            "cause": f"connection refused: nothing listens on localhost port {port}",
            "next": f"start the server (check with: pg_isready -h localhost -p {port}); inside a "
            "container localhost is the container itself: use the database service's name there",
        },
    }
    assert done.err.splitlines() == [
        "warning: unknown options in the connection string are ignored: schema",
        f"error: can't connect to u@localhost:{port}/d (from --database-url)",
        f"why:   connection refused: nothing listens on localhost port {port}",
        (
            f"next:  start the server (check with: pg_isready -h localhost -p {port}); inside a "
            "container localhost is the container itself: use the database service's name there"
        ),
    ]


def test_json_of_a_usage_error() -> None:
    done = run_probe("--json", "--bogus")
    assert done.code == 2
    error = json.loads(done.out)["error"]
    assert error.pop("message").startswith("No such option: --bogus")
    assert error == {
        "code": "usage",
        "cause": "the command line is not valid",
        "next": "aperture-db probe --help",
    }


def test_a_result_that_json_cannot_hold_is_an_error_in_json(admin_conninfo: str) -> None:
    done = run_probe("--json", "--sql", "SELECT interval '1 s'", conninfo=admin_conninfo)
    assert done.code == 1
    assert json.loads(done.out)["error"]["code"] == "unexpected"


def test_an_unexpected_error(admin_conninfo: str) -> None:
    done = run_probe("--crash", "boom", conninfo=admin_conninfo)
    assert done.code == 1
    lines = done.err.splitlines()
    assert lines[1].startswith("error: aperture-db failed unexpectedly (postgres@127.0.0.1:")
    assert lines[2:] == [
        "why:   RuntimeError: boom",
        "next:  run again with -vv and report the output",
    ]
    assert "Traceback" in run_probe("--crash", "boom", "-vv", conninfo=admin_conninfo).err


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["stats", "--bogus"],
            ["error: No such option: --bogus", "next:  aperture-db stats --help"],
        ),
        (["stats", "-d"], ["error: Option '-d' requires an argument",
                           "next:  aperture-db stats --help"]),
        (["bogus"], ["error: No such command 'bogus'", "next:  aperture-db --help"]),
        (["stats", "--connect-timeout", "soon"],
         [("error: Invalid value for '--connect-timeout': 'soon' is not a duration such as "
          "500ms, 5s, 30m or 2h"),
          "next:  aperture-db stats --help"]),
        (["postgresql://u:s3cr3t@h/d", "stats"],
         ["error: No such command '…'", "next:  aperture-db --help"]),
        (["stats", "host=h password=s3cr3t"],
         ["error: Got unexpected extra argument(s) (…)", "next:  aperture-db stats --help"]),
    ],
)  # fmt: skip
def test_usage_errors(arguments: list[str], lines: list[str]) -> None:
    done = run_cli(*arguments)
    assert done.code == 2
    error, why, next_step = done.err.splitlines()
    assert why == "why:   the command line is not valid"
    # Typer proposes options that look alike.
    assert [error.split(" (Possible")[0], next_step] == lines


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ApertureDbError, 1),
        (errors.UsageError, 2),
        (errors.ConnectError, 3),
        (errors.NotConfirmedError, 4),
        (errors.FindingError, 5),
        (errors.BusyError, 6),
        (errors.ClientProgramError, 7),
    ],
)
def test_exit_codes(kind: type[errors.ApertureDbError], code: int) -> None:
    assert kind("what", why="why", next_step="next").exit_code == code


def test_only_health_has_exit_codes_of_its_own() -> None:
    for entry in COMMANDS.values():
        import_module(entry.module)
    assert set(EXIT_CODE_RULES) == {"health"}


def test_passwords_that_libpq_finds_itself(admin_conninfo: str, tmp_path: Path) -> None:
    server = {name: str(value) for name, value in conninfo_to_dict(admin_conninfo).items()}
    password = server.pop("password")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"*:*:*:*:{password}\n")
    passwords.chmod(0o600)
    services = tmp_path / "services"
    lines = [f"{name}={value}\n" for name, value in server.items()]
    services.write_text("".join(["[aperture]\n", *lines, f"password={password}\n"]))
    pg = {
        "PGHOST": server["host"], "PGPORT": server["port"], "PGUSER": server["user"],
        "PGDATABASE": server["dbname"],
    }  # fmt: skip
    service = {"PGSERVICEFILE": str(services)}
    for done in (
        run_probe(**pg, PGPASSWORD=password),
        run_probe(**pg, PGPASSFILE=str(passwords)),
        run_probe(**service, PGSERVICE="aperture"),
        run_probe(**service, conninfo="postgresql://?service=aperture"),
        run_probe(conninfo=make_conninfo(**server), PGPASSFILE=str(passwords)),
    ):
        assert (done.code, done.out) == (0, "1\n"), done.err


def test_waiting_for_a_server_that_starts_up(starting_server: StartingServer) -> None:
    process = start_probe("--wait", "60", conninfo=starting_server.conninfo)
    assert process.stderr is not None
    assert process.stderr.readline() == (
        "waiting up to 60 s for the database: "
        "the server is not ready yet: the database system is starting up\n"
    )
    starting_server.finish()
    done = finish(process)
    assert (done.code, done.out, done.err) == (0, "1\n", "running: SELECT 1\n")


def test_waiting_for_a_server_that_never_comes() -> None:
    port = free_port()
    done = run_probe("--wait", "1", conninfo=f"postgresql://u@127.0.0.1:{port}/d")
    refused = f"connection refused: nothing listens on 127.0.0.1 port {port}"
    assert done.code == 3
    assert done.err.splitlines()[:2] == [
        f"waiting up to 1 s for the database: {refused}",
        f"error: can't connect to u@127.0.0.1:{port}/d (from DATABASE_URL)",
    ]


def test_no_waiting_for_what_time_does_not_mend(admin_conninfo: str) -> None:
    for wrong in ("password=wrong", "dbname=missing"):
        done = run_probe("--wait", "60", conninfo=f"{admin_conninfo} {wrong}")
        assert done.code == 3
        assert done.err.startswith("error: ")


@pytest.mark.parametrize("arguments", [[], ["--json", "-q"], ["--help"], ["--sql", "SELECT 1/0"]])
def test_a_reader_that_has_gone_is_no_error(admin_conninfo: str, arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = finish(start_probe(*arguments, conninfo=admin_conninfo, stdout=write_end))
    os.close(write_end)
    if arguments[:1] == ["--sql"]:
        # Nothing was written there.
        assert done.code == 1
    else:
        assert done.code == 141
        assert done.err in ("", "running: SELECT 1\n")


def test_a_full_disk_behind_stdout(admin_conninfo: str) -> None:
    for arguments in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            done = finish(start_probe(*arguments, conninfo=admin_conninfo, stdout=full.fileno()))
        assert done.code == 1
        assert done.err.splitlines()[2:] == [
            "why:   No space left on device",
            "       the probe was rolled back",
            "next:  check the free space and permissions where stdout is written",
        ]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed: str, admin_conninfo: str) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *PROBE],
        env=probe_environment(admin_conninfo),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == ("" if ">&- " in f"{closed} ".replace("2>&-", "") else "1\n")
