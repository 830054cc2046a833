"""Disk space: growth, dead rows, bloat, and embeddings that nobody reads."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.health.conftest import follow_advice, read_check, read_health
from tests.health.test_queries import execute
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.waiting import FLUSH_STATISTICS


def make_embeddings(conninfo: str, rows: int, *, table: str = "embeddings_256") -> None:
    """Films with an embedding each, of a model that is not configured."""
    execute(
        conninfo,
        "INSERT INTO movies (provider_item_id, title) "
        f"SELECT 'item ' || i, 'Film ' || i FROM generate_series(1, {rows}) AS i",
        f"INSERT INTO {table} (movie_id, model, embedding) "
        "SELECT id, 'ollama:small', ARRAY(SELECT sin(number * j)::real "
        "FROM generate_series(1, 256) AS j)::vector::halfvec(256) "
        "FROM (SELECT id, row_number() OVER () AS number FROM movies) AS film",
    )


def test_dead_rows_of_a_table_with_hnsw(migrated: str) -> None:
    make_embeddings(migrated, 600)
    execute(migrated, "VACUUM ANALYZE", FLUSH_STATISTICS)
    before = read_health(migrated)
    assert before["dead-rows"]["status"] == "ok"
    execute(
        migrated,
        "DELETE FROM embeddings_256 WHERE id IN (SELECT id FROM embeddings_256 LIMIT 100)",
        FLUSH_STATISTICS,
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"dead-rows"}
    check = reading["dead-rows"]
    assert check["status"] == "warning"
    assert check["reason"].startswith("embeddings_256 has 100 dead rows, 16.7 % of all")
    assert check["advice"] == ["aperture-db vacuum --reindex-hnsw --table embeddings_256"]
    follow_advice(migrated, check)
    execute(migrated, FLUSH_STATISTICS)
    assert read_health(migrated).changed_since(before) == set()


def test_dead_rows_of_other_tables_wait_for_autovacuum_s_own_threshold(migrated: str) -> None:
    before = read_health(migrated)
    execute(
        migrated,
        "CREATE TABLE notes AS SELECT i AS id FROM generate_series(1, 1000) AS i",
        "VACUUM ANALYZE notes",
        "DELETE FROM notes WHERE id <= 200",
    )
    assert read_health(migrated).changed_since(before) == set()
    execute(migrated, "DELETE FROM notes WHERE id <= 300")
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"dead-rows"}
    assert reading["dead-rows"]["advice"] == ["VACUUM (ANALYZE) notes;"]
    execute(migrated, "ALTER TABLE notes SET (autovacuum_vacuum_scale_factor = 0.5)")
    assert read_check(migrated, "dead-rows")["status"] == "ok"
    execute(migrated, "ALTER TABLE notes RESET (autovacuum_vacuum_scale_factor)")
    follow_advice(migrated, reading["dead-rows"])
    assert read_health(migrated).changed_since(before) == set()


def test_bloat_where_pgstattuple_tells(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    before = read_health(migrated)
    follow_advice(migrated, before["bloat"])
    assert read_check(migrated, "bloat")["status"] == "ok"
    execute(
        migrated,
        "CREATE TABLE pages (id int, filler text)",
        "ALTER TABLE pages ALTER filler SET STORAGE PLAIN",
        "INSERT INTO pages SELECT i, repeat('x', 4000) FROM generate_series(1, 16000) AS i",
        "DELETE FROM pages WHERE id % 10 <> 0",
        FLUSH_STATISTICS,
        "VACUUM ANALYZE pages",
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"bloat"}
    check = reading["bloat"]
    assert check["status"] == "warning"
    assert check["advice"] == ["aperture-db vacuum --full --table pages"]
    role = role_of(migrated, "read")
    skipped = read_check(role, "bloat")
    assert (skipped["status"], skipped["skipped_because"]) == ("skipped", "privilege")
    follow_advice(migrated, skipped)
    assert read_check(role, "bloat")["status"] == "warning"
    execute(migrated, "VACUUM FULL pages")
    assert read_check(migrated, "bloat")["status"] == "ok"


def test_growth_needs_samples_of_a_week(migrated: str) -> None:
    assert run_inside("stats", "--record", database=migrated).code == 0
    assert run_inside("stats", "--record", database=migrated).code == 0
    assert read_check(migrated, "growth")["reason"].startswith("2 samples over 0.0 days")
    execute(
        migrated,
        "UPDATE aperture_db.samples SET sampled_at = sampled_at - interval '10 days', "
        "database_bytes = database_bytes / 2",
    )
    assert run_inside("stats", "--record", database=migrated).code == 0
    check = read_check(migrated, "growth")
    assert check["status"] == "warning"
    assert check["value"] == pytest.approx(150, abs=5)
    assert check["advice"] == ["aperture-db stats --history", "aperture-db clean"]
    calm = read_check(migrated, "growth", "--warn", "growth=200%")
    assert calm["status"] == "ok"
    assert calm["summary"].endswith(" a day")


def test_growth_of_samples_that_can_t_be_read(
    migrated: str, role_of: Callable[[str, Rights], str]
) -> None:
    assert run_inside("stats", "--record", database=migrated).code == 0
    role = role_of(migrated, "read")
    check = read_check(role, "growth")
    assert (check["status"], check["skipped_because"]) == ("skipped", "privilege")
    # The failed statement ended with its check.
    both = read_health(role, "--only", "growth", "--only", "dead-rows", "--only", "connections")
    assert both["dead-rows"]["status"] == "ok"
    assert both["connections"]["status"] == "ok"
    follow_advice(migrated, check)
    assert read_check(role, "growth")["summary"] == "collecting: 1 sample"


def test_wraparound_is_judged_by_its_threshold(migrated: str) -> None:
    limits = ("--warn", "wraparound=0.0000001")
    check = read_check(migrated, "wraparound", *limits)
    assert check["status"] == "warning"
    database = conninfo_to_dict(migrated)["dbname"]
    own = next(finding for finding in check["findings"] if finding["object"] == database)
    assert own["advice"][-1] == "VACUUM (FREEZE);"
    assert all(step.startswith("VACUUM (FREEZE)") for step in own["advice"])
    assert read_check(migrated, "wraparound")["status"] == "ok"


def test_embeddings_that_nothing_reads(migrated: str) -> None:
    make_embeddings(migrated, 50, table="embeddings_256")
    with psycopg.connect(migrated, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO system_settings (key, value) VALUES ('ai_config', "
            """'{"embeddings": {"provider": "ollama", "model": "small"}}')"""
        )
    before = read_health(migrated)
    assert before["stale-embeddings"]["status"] == before["legacy-embeddings"]["status"] == "ok"
    execute(
        migrated,
        "INSERT INTO embeddings_legacy (movie_id, model, embedding) "
        "SELECT id, 'openai:x', array_fill(1, ARRAY[3072])::vector::halfvec(3072) FROM movies",
    )
    reading = read_health(migrated)
    assert reading.changed_since(before) == {"legacy-embeddings"}
    assert reading["legacy-embeddings"]["status"] == "info"
    assert read_check(migrated, "legacy-embeddings", "--warn", "legacy-embeddings=1kB")[
        "status"
    ] == "warning"  # fmt: skip
    follow_advice(migrated, reading["legacy-embeddings"])
    assert read_health(migrated).changed_since(before) == set()
    execute(migrated, "UPDATE embeddings_256 SET model = 'ollama:large'")
    stale = read_health(migrated)
    assert {"stale-embeddings", "embedding-coverage"} <= stale.changed_since(before)
    assert stale["stale-embeddings"]["advice"] == ["aperture-db clean --apply stale-embeddings"]
    follow_advice(migrated, stale["stale-embeddings"])
    assert read_check(migrated, "stale-embeddings")["status"] == "ok"


def test_a_table_with_an_odd_name_in_another_schema_can_be_vacuumed_as_advised(
    migrated: str,
) -> None:
    execute(
        migrated,
        'CREATE SCHEMA "My own"',
        """CREATE TABLE "My own"."it's $odd" AS
        SELECT i AS id, ARRAY[i, 1, 2]::real[]::halfvec(3) AS spot
        FROM generate_series(1, 1000) AS i""",
        """CREATE INDEX ON "My own"."it's $odd" USING hnsw (spot halfvec_l2_ops)""",
        """VACUUM ANALYZE "My own"."it's $odd" """,
        """DELETE FROM "My own"."it's $odd" WHERE id <= 200""",
        FLUSH_STATISTICS,
    )
    check = read_check(migrated, "dead-rows")
    assert check["findings"][0]["object"] == "it's $odd"
    follow_advice(migrated, check)
    execute(migrated, FLUSH_STATISTICS)
    assert read_check(migrated, "dead-rows")["status"] == "ok"
