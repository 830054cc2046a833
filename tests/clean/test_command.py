"""The command: listing, confirmation, batches, locks, privileges, poolers and old versions."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable

import psycopg
import pytest

from aperture_db.clean import (
    CleanedKind,
    CleanedTable,
    CleanLimits,
    CleanReport,
    CleanResult,
    Kind,
    KindReport,
    TablePart,
    targets,
)
from aperture_db.cli.options import PHRASE
from tests.clean.conftest import apply, execute, gone, listed, read_contents, rows_of
from tests.clean.test_kinds import LEGACY_ROWS, SEEDS
from tests.cli import COMMAND, environment
from tests.conftest import MIGRATIONS
from tests.described import undescribed
from tests.program import run_inside
from tests.servers.roles import Rights
from tests.terminal import run_at_terminal
from tests.waiting import wait_until, waits_for_lock

NewDatabase = Callable[[], str]


def test_listing_is_the_default(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, LEGACY_ROWS)
    outcome = run_inside("clean", database=database)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[1:10]] == list(Kind)
    command = "To delete: aperture-db clean --apply KIND … --database-url 'postgresql://…'"
    assert f"Nothing was deleted. {command}" in lines
    assert run_inside("clean", "-q", database=database).out == ""
    assert list(listed(database, "orphans")) == ["orphans"]
    for words in (("--dry-run",), ("--apply", "--dry-run")):
        planned = run_inside("clean", "legacy-embeddings", *words, database=database)
        assert (planned.code, planned.err) == (0, "")
        assert planned.out.splitlines()[-2] == (
            "Nothing was changed. To carry out exactly this plan:"
        )
        assert planned.out.splitlines()[-1].startswith(
            "  aperture-db clean --apply legacy-embeddings --database-url"
        )
    assert (
        "To delete: aperture-db clean --apply KIND …"
        in run_inside("clean", "--dry-run", database=database).out
    )


def test_a_fresh_installation_has_little_to_clean(aperture_database: NewDatabase) -> None:
    counts = {kind: report["rows"] for kind, report in listed(aperture_database()).items()}
    assert counts == dict.fromkeys(Kind, 0) | {"dead-jobs": 4, "stale-embeddings": None}


def test_other_databases_have_nothing_to_clean(new_database: NewDatabase) -> None:
    database = new_database()
    execute(
        database,
        "CREATE TABLE sessions (expires_at timestamptz)",
        "INSERT INTO sessions VALUES (now() - interval '1 day')",
    )
    assert {report["rows"] for report in listed(database).values()} <= {0, None}
    assert "Nothing to delete." in run_inside("clean", database=database).out


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["--apply"], 2, "--apply needs the kinds to delete"),
        (["nonsense"], 2, "unknown kind: nonsense"),
        (["--cache-age", "1d"], 2, "--cache-age is shorter than Aperture itself keeps its caches"),
        (["--apply", "dead-jobs"], 4, "not confirmed, nothing was changed"),
        (["--apply", "dead-jobs", "--confirm", "yes"], 4, "not confirmed, nothing was changed"),
        (["--apply", "dead-jobs", "--json"], 4, "not confirmed, nothing was changed"),
    ],
)
def test_nothing_goes_without_kind_and_confirmation(
    sample_database: NewDatabase, arguments: list[str], code: int, what: str
) -> None:
    database = sample_database()
    before = read_contents(database)
    outcome = run_inside("clean", *arguments, database=database)
    assert outcome.code == code
    assert f"error: {what}" in outcome.err
    assert read_contents(database) == before


@pytest.mark.parametrize(("typed", "code"), [(f"{PHRASE}\n", 0), ("yes\n", 4)])
def test_confirmation_at_a_terminal(sample_database: NewDatabase, typed: str, code: int) -> None:
    database = sample_database()
    exit_code, shown = run_at_terminal(
        "clean", "--apply", "dead-jobs", conninfo=database, typed=typed
    )
    assert exit_code == code
    assert "This deletes 4 rows from postgres@" in shown
    assert listed(database)["dead-jobs"]["rows"] == (0 if code == 0 else 4)


def test_what_went_and_what_makes_room(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, LEGACY_ROWS)
    outcome = apply(database, "legacy-embeddings", "stale-embeddings,old-runs")
    assert outcome.code == 0
    assert "returned to the disk." in outcome.out
    assert "  aperture-db vacuum --database-url" in outcome.out
    assert apply(database, "old-runs").out == "Nothing to delete.\n"


def test_stale_rows_between_active_ones_want_a_rebuilt_index(sample_database: NewDatabase) -> None:
    database = sample_database()
    execute(database, SEEDS[Kind.STALE_EMBEDDINGS])
    outcome = apply(database, "stale-embeddings", "--json")
    assert outcome.envelope["data"]["next_steps"] == [
        "aperture-db vacuum --reindex-hnsw --table embeddings_256"
    ]


def test_batches_stay_when_a_later_one_fails(
    sample_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "BATCH_RUNS", 2)
    database = sample_database()
    execute(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF (SELECT count(*) FROM public.recommendation_runs) < 20 THEN RAISE 'enough'; END IF; "
        "RETURN OLD; END $$",
        "CREATE TRIGGER refuse BEFORE DELETE ON recommendation_runs FOR EACH ROW "
        "EXECUTE FUNCTION refuse()",
    )
    before = read_contents(database)
    outcome = apply(database, "old-runs", "--json")
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "statement_failed"
    told = {
        table["table"]: table["rows"]
        for kind in outcome.envelope["data"]["kinds"]
        for table in kind["tables"]
    }
    assert told == gone(before, read_contents(database))
    assert told["recommendation_runs"] == 6
    with psycopg.connect(database) as conn:
        bare = (
            "SELECT count(*) FROM recommendation_runs AS r WHERE candidate_count > 0 AND NOT "
            "EXISTS (SELECT FROM recommendation_candidates WHERE run_id = r.id)"
        )
        assert conn.execute(bare).fetchone() == (0,)


def test_a_locked_table_names_its_holder(sample_database: NewDatabase) -> None:
    database = sample_database()
    with psycopg.connect(database, application_name="holder") as conn:
        conn.execute("LOCK TABLE sessions IN SHARE MODE")
        outcome = apply(database, "expired-sessions", "--lock-timeout", "200ms")
        pid = conn.info.backend_pid
    assert outcome.code == 6
    assert outcome.err.endswith(
        f"next:  wait until that session is done, or end it: SELECT pg_terminate_backend({pid});\n"
    )
    assert f"held by pid {pid}, holder, user postgres" in outcome.err


def test_a_reader_may_list_but_not_delete(
    sample_database: NewDatabase, limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    execute(database, LEGACY_ROWS)
    reader = limited_role(database, "read")
    mine = {kind: report["rows"] for kind, report in listed(database).items()}
    assert {kind: report["rows"] for kind, report in listed(reader).items()} == mine
    outcome = apply(reader, "dead-jobs")
    assert outcome.code == 1
    assert 'DELETE ON "public"."job_config" TO' in outcome.err
    stranger = limited_role(database, "none")
    seen = run_inside("clean", database=stranger).out
    assert seen.endswith("Nothing to delete, as far as it can be seen.\n")
    blind = listed(stranger)
    assert blind["orphans"]["rows"] is None
    assert "GRANT SELECT ON" in str(blind["orphans"]["grant"])


def test_a_writer_without_truncate_deletes_row_by_row(
    sample_database: NewDatabase, limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    execute(database, LEGACY_ROWS)
    writer = limited_role(database, "write")
    (part,) = listed(writer)["legacy-embeddings"]["tables"]
    assert part["way"] == "delete"
    assert apply(writer, "legacy-embeddings").code == 0
    assert listed(database)["legacy-embeddings"]["rows"] == 0


def test_through_a_pooler(
    sample_database: NewDatabase, pgbouncer_conninfo: Callable[[str], str]
) -> None:
    database = sample_database()
    execute(database, *SEEDS.values())
    pooled = pgbouncer_conninfo(database)
    assert listed(pooled) == listed(database)
    assert apply(pooled, *Kind).code == 0
    assert sum(int(str(report["rows"])) for report in listed(database).values()) == 0


def test_every_version_can_be_listed_and_cleaned(new_database: NewDatabase) -> None:
    database = new_database()
    for number, file in enumerate(sorted(MIGRATIONS.glob("*.sql"))):
        with psycopg.connect(database, autocommit=True) as conn, conn.transaction():
            conn.execute(file.read_bytes())
            conn.execute("INSERT INTO aperture_migrations (name) VALUES (%s)", [file.name])
        if number % 12 and file.name[:4] not in ("0077", "0078", "0108", "0109"):
            continue
        before = read_contents(database)
        kinds = [k for k, report in listed(database).items() if report["rows"] is not None]
        outcome = apply(database, *(k for k in kinds if k != "dead-jobs"))
        assert (outcome.code, outcome.out) == (0, "Nothing to delete.\n"), file.name
        assert read_contents(database) == before
        assert ("dead-jobs" in kinds) == (file.name < "0026" or file.name > "0109"), file.name


def test_sigterm_leaves_whole_batches(sample_database: NewDatabase) -> None:
    """The first batch is done, the second waits for a row that somebody holds."""
    database = sample_database()
    execute(
        database,
        "INSERT INTO sessions (user_id, expires_at, created_at) SELECT (SELECT min(id::text)::uuid "
        "FROM users), now() - interval '1 hour', now() FROM generate_series(1, 6000)",
        "CREATE INDEX ON sessions (id)",
    )
    with psycopg.connect(database) as holder, psycopg.connect(database, autocommit=True) as conn:
        last = "SELECT id FROM sessions WHERE expires_at < now() ORDER BY ctid DESC LIMIT 1"
        holder.execute(f"SELECT FROM sessions WHERE id = ({last}) FOR UPDATE")
        process = subprocess.Popen(
            [*COMMAND, "clean", "--apply", "expired-sessions", "--confirm", PHRASE],
            env=environment(database), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_until(lambda: waits_for_lock(database), "the second batch waits")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        count = "SELECT count(*) FROM sessions WHERE expires_at < now()"
        assert conn.execute(count).fetchone() == (1001,)
    assert process.returncode == 143
    assert "5,000 rows were deleted; nothing else was changed" in err


def test_the_json_is_described() -> None:
    shapes = (
        CleanReport,
        KindReport,
        TablePart,
        CleanLimits,
        CleanResult,
        CleanedKind,
        CleanedTable,
    )
    assert undescribed("clean", *shapes) == set()


def test_rows_of_all_tables_are_told(sample_database: NewDatabase) -> None:
    reports = listed(sample_database())
    for report in reports.values():
        if report["rows"] is not None:
            assert sum(rows_of(report).values()) == report["rows"]
