"""A primary and its streaming hot standby."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.postgres.embedded import Cluster, server_programs
from tests.servers.account import give_to_server_account, run_as_server_account
from tests.servers.clusters import create_cluster, start_on_free_port, superuser_conninfo
from tests.waiting import wait_until

# wait_until_replayed asks how far the primary has flushed: that must include every commit.
WITH_FLUSHED_COMMITS = {"wal_level": "replica", "synchronous_commit": "on"}


@dataclass(frozen=True)
class ReplicatedDatabase:
    """One database, on the primary and on the standby that follows it."""

    primary: str
    """Superuser's connection string on the primary."""
    standby: str

    def on(self, database: str) -> ReplicatedDatabase:
        return ReplicatedDatabase(
            make_conninfo(self.primary, dbname=database),
            make_conninfo(self.standby, dbname=database),
        )

    def wait_until_replayed(self) -> None:
        """Wait until the standby shows everything that is committed on the primary now."""
        with (
            psycopg.connect(self.primary, dbname="postgres") as primary,
            psycopg.connect(self.standby, dbname="postgres", autocommit=True) as standby,
        ):
            row = primary.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
            assert row is not None
            position = row[0]
            wait_until(
                lambda: (
                    standby.execute(
                        "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position]
                    ).fetchone()
                    == (True,)
                ),
                f"the standby has replayed up to {position}",
            )

    @property
    def both(self) -> str:
        """A connection string that names both servers, the standby first."""
        parts = [conninfo_to_dict(each) for each in (self.standby, self.primary)]
        hosts, ports = (",".join(str(part[key]) for part in parts) for key in ("host", "port"))
        return make_conninfo(self.primary, host=hosts, port=ports)


def start_standby(
    programs: Path, home: Path, settings: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Start both, in `home`/primary and `home`/standby; returns the superuser's access to the
    database `postgres` on each."""
    (home / "primary").mkdir()
    primary, password = create_cluster(
        programs, home / "primary", WITH_FLUSHED_COMMITS | dict(settings or {})
    )
    primary = start_on_free_port(primary)
    primary_conninfo = superuser_conninfo(primary, password)
    standby = Cluster(programs, home / "standby", port=0)
    standby.data.mkdir(mode=0o700)
    give_to_server_account(standby.data)
    # Some installations have nothing but the server; a newer client copies older servers, too.
    clients = programs if (programs / "pg_basebackup").exists() else server_programs()
    copied = run_as_server_account(
        [clients / "pg_basebackup", f"--pgdata={standby.data}", f"--dbname={primary_conninfo}",
         "--checkpoint=fast", "--wal-method=stream"],
        clients,
    )  # fmt: skip
    assert copied.returncode == 0, copied.stdout
    # Not with --write-recovery-conf: older servers don't know all options that a newer client has.
    standby.configure({"primary_conninfo": primary_conninfo})
    signal = standby.data / "standby.signal"
    signal.touch()
    give_to_server_account(signal)
    standby = start_on_free_port(standby)
    return {"primary": primary_conninfo, "standby": superuser_conninfo(standby, password)}
