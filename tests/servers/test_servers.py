"""The servers are what they claim to be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from aperture_db.postgres.embedded import server_programs
from tests.cli import environment
from tests.servers.crowded import CrowdedServer
from tests.servers.programs import TEST_SERVER, require, server_under_test
from tests.servers.roles import Rights
from tests.servers.shared import SharedServers
from tests.servers.standby import ReplicatedDatabase
from tests.servers.tls import TlsServer
from tests.waiting import wait_until


def test_pgbouncer_hands_statements_to_any_server_process(
    new_database: Callable[[], str], pgbouncer_conninfo: Callable[[str], str]
) -> None:
    with psycopg.connect(pgbouncer_conninfo(new_database()), autocommit=True) as conn:
        row = conn.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        assert row[0] != conn.info.backend_pid


def test_the_standby_follows_its_primary(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    with psycopg.connect(database.primary) as primary:
        primary.execute("CREATE TABLE movies AS SELECT 1 AS id")
    database.wait_until_replayed()
    with psycopg.connect(database.standby) as standby:
        assert standby.execute("SELECT pg_is_in_recovery(), id FROM movies").fetchone() == (True, 1)


def test_postgres15_has_the_small_extensions_but_no_pgvector(postgres15: str) -> None:
    with psycopg.connect(postgres15) as conn:
        assert conn.info.server_version // 10000 == 15
        assert _available(conn) == {"pgcrypto", "pg_trgm"}


def test_old_pgvector_has_no_halfvec(old_pgvector: str) -> None:
    with psycopg.connect(old_pgvector) as conn:
        conn.execute("CREATE EXTENSION vector")
        row = conn.execute(
            "SELECT extversion, to_regtype('halfvec') FROM pg_extension WHERE extname = 'vector'"
        ).fetchone()
        assert row == ("0.6.2", None)
        conn.rollback()


def _available(conn: psycopg.Connection) -> set[str]:
    rows = conn.execute(
        "SELECT name FROM pg_available_extensions WHERE name IN ('vector', 'pgcrypto', 'pg_trgm')"
    )
    return {name for (name,) in rows}


def test_the_tls_server_is_trusted_through_its_authority_and_under_its_name(
    tls_server: TlsServer,
) -> None:
    trusted = {"sslmode": "verify-full", "sslrootcert": tls_server.authority}
    with psycopg.connect(tls_server.conninfo, **trusted) as conn:  # type: ignore[arg-type]
        assert conn.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(tls_server.under_another_name, **trusted)  # type: ignore[arg-type]
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(
            tls_server.conninfo, sslmode="verify-full", sslrootcert=tls_server.other_authority
        )


def test_the_crowded_server_turns_visitors_away(crowded_server: CrowdedServer) -> None:
    with pytest.raises(psycopg.OperationalError, match="remaining connection slots are reserved"):
        psycopg.connect(crowded_server.visitor)
    psycopg.connect(crowded_server.superuser).close()


ALLOWED = {
    "none": set[str](),
    "read": {"SELECT count(*) FROM movies"},
    "write": {"SELECT count(*) FROM movies", "DELETE FROM movies"},
    "create_tables": {
        "SELECT count(*) FROM movies", "DELETE FROM movies", "CREATE TABLE public.own (id int)",
    },
    "owner": {
        "SELECT count(*) FROM movies", "DELETE FROM movies", "CREATE TABLE public.own (id int)",
        "CREATE EXTENSION pg_trgm", "DROP TABLE movies",
    },
}  # fmt: skip


@pytest.mark.parametrize("rights", ALLOWED)
def test_roles_may_do_what_their_name_says(
    rights: Rights, new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = new_database()
    with psycopg.connect(database) as admin:
        admin.execute("CREATE TABLE movies (id serial PRIMARY KEY)")
        admin.execute("CREATE EXTENSION vector")
    allowed = set()
    with psycopg.connect(limited_role(database, rights)) as conn:
        for statement in sorted(ALLOWED["owner"]):
            with suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
                conn.execute(statement)
                allowed.add(statement)
                raise psycopg.Rollback
    assert allowed == ALLOWED[rights]


def test_a_role_may_not_even_connect(
    new_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    role = limited_role(new_database(), "no_connect")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(role)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_a_run_that_is_terminated_stops_its_servers(
    tmp_path: Path, workers: str, whole_group: bool
) -> None:
    require("pgbouncer", "pgbouncer")
    mark = tmp_path / "mark"
    (tmp_path / "test_it.py").write_text(
        "import os, time\nfrom pathlib import Path\n"
        "def test_it(servers, admin_conninfo, pgbouncer_conninfo):\n"
        f"    Path({str(mark)!r} + '.new').write_text(str(servers.directory))\n"
        f"    os.rename({str(mark)!r} + '.new', {str(mark)!r})\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "tests.servers.fixtures", "-c", "/dev/null",
         "-n", workers, "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment(HOME=str(Path.home())),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:  # fmt: skip
        wait_until(
            lambda: mark.exists() or run.poll() is not None, "the servers run", timeout_seconds=120
        )
        assert mark.exists(), run.communicate()[0]
        directory = mark.read_text().encode()
        assert len(processes_with(directory)) == 2
        (os.killpg if whole_group else os.kill)(run.pid, signal.SIGTERM)
        output, _ = run.communicate()
    assert processes_with(directory) == []
    assert not Path(os.fsdecode(directory)).exists()
    assert run.returncode == 2, output


def processes_with(word: bytes) -> list[bytes]:
    """The command lines that have the word in them."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            lines.append((process / "cmdline").read_bytes())
    return [line for line in lines if word in line]


def test_another_server_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TEST_SERVER, str(tmp_path))
    with pytest.raises(pytest.UsageError, match="has no initdb, pg_ctl, postgres"):
        server_under_test()
    (tmp_path / "bin").symlink_to(server_programs())
    assert server_under_test() == tmp_path / "bin"
    monkeypatch.setenv(TEST_SERVER, "")
    assert server_under_test() == server_programs()


def test_a_server_that_could_not_start_is_tried_again(tmp_path: Path) -> None:
    """For example by the second worker, when the first one's test was skipped."""
    servers = SharedServers(tmp_path)

    def skip(home: Path) -> dict[str, str]:
        (home / "left-behind").touch()
        pytest.skip("no such program")

    for _ in range(2):
        with pytest.raises(pytest.skip.Exception):
            servers.get("missing", skip)
    assert servers.get("missing", lambda home: {"home": str(home)}) == {
        "home": str(tmp_path / "missing")
    }


@pytest.mark.parametrize(
    "test",
    [
        "import pytest\ndef test_it(): pytest.skip('not here')",
        "import pytest\n@pytest.mark.skipif(True, reason='not here')\ndef test_it(): ...",
        "import pytest\npytest.skip('not here', allow_module_level=True)",
        (
            "import pytest\n@pytest.fixture\ndef thing(): pytest.skip('not here')\n"
            "def test_it(thing): ..."
        ),
    ],
    ids=["body", "mark", "module", "fixture"],
)
def test_a_skip_fails_in_ci_and_only_there(test: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(test)
    # What fails in CI is a failed test, or a file that can't be collected.
    for ci, expected in (("true", {1, 2}), ("", {0, 5})):
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.servers.fixtures", "-c", "/dev/null",
             "--rootdir", str(tmp_path), str(tmp_path)],
            env=environment(CI=ci),
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode in expected, done.stdout
        if ci:
            assert "not here" in done.stdout
