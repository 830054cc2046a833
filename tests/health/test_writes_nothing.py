"""What only looks writes nothing: by the server's own counters, and with a reader's rights."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.health.conftest import read_health, run_health
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.waiting import FLUSH_STATISTICS

COUNTERS = """
SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_del), sum(n_dead_tup), sum(n_mod_since_analyze),
    sum(vacuum_count + analyze_count),
    (SELECT tup_inserted + tup_updated + tup_deleted + temp_files
     FROM pg_stat_database WHERE datname = current_database())
FROM pg_stat_all_tables
-- Other tests make and drop databases and roles meanwhile.
WHERE relid IN (SELECT oid FROM pg_class WHERE NOT relisshared)
"""


def counters(conninfo: str) -> tuple[object, ...]:
    """What has been written to the database, after every other session told its part."""
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(FLUSH_STATISTICS)
        row = conn.execute(COUNTERS).fetchone()
    assert row is not None
    return tuple(row)


def test_the_write_counters_stay(library: str) -> None:
    counters(library)
    before = counters(library)
    for arguments in ([], ["--format", "nagios"], ["--format", "prometheus"], ["--json"]):
        assert run_health(library, *arguments).code == 0
    for command in ("stats", "stats --tables", "stats --history", "check-extensions", "clean",
                    "vacuum --dry-run", "migrate --status"):  # fmt: skip
        assert run_inside(*command.split(), database=library).code == 0
    assert counters(library) == before


def test_a_role_that_may_only_read_is_enough(
    library: str, role_of: Callable[[str, Rights], str]
) -> None:
    before = read_health(library)
    role = role_of(library, "read")
    with psycopg.connect(library, autocommit=True) as conn:
        user = psycopg.conninfo.conninfo_to_dict(role)["user"]
        conn.execute(f'GRANT pg_monitor TO "{user}"')
        conn.execute(f'ALTER ROLE "{user}" SET default_transaction_read_only = on')
    reading = read_health(role)
    # The server's files are for superusers, and `before` was read by one.
    assert reading.changed_since(before) == {"writable", "superuser", "configuration-files"}
