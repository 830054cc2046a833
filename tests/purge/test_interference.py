"""Locks of others, rows that arrive meanwhile, privileges, triggers: either all or nothing."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.errors import ApertureDbError
from aperture_db.postgres.connection import connect
from aperture_db.postgres.settings import resolve_target
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.execute import Purged, PurgeEvent, PurgeLimits, execute
from aperture_db.purge.plan import make_plan, make_work
from aperture_db.purge.report import PurgeOutcome, PurgePlan
from tests.conftest import apply_migrations
from tests.purge.contents import read_contents
from tests.purge.expected import Case, expected_after
from tests.purge.purging import CONFIRMED, plan_of, purge, try_purge, warnings_of
from tests.servers.roles import Rights
from tests.servers.standby import ReplicatedDatabase

ADD_RATING = """
    INSERT INTO user_ratings (user_id, movie_id, rating)
    SELECT u.id, m.id, 5 FROM users AS u CROSS JOIN movies AS m
    WHERE NOT EXISTS (SELECT FROM user_ratings AS r WHERE r.user_id = u.id AND r.movie_id = m.id)
    LIMIT 2
"""


def make_plan_for(database: str, what: PurgeTarget) -> PurgePlan:
    with connect(resolve_target(database, None), read_only=True) as conn:
        return make_plan(conn, what, PurgeOptions(), 5)


def carry_out(database: str, plan: PurgePlan, expected_rows: int | None = None) -> PurgeOutcome:
    target = resolve_target(database, None)
    last: PurgeEvent | None = None
    with connect(target) as conn:
        going_on = execute(conn, target, plan, make_work(plan), PurgeLimits(5, expected_rows))
        for last in going_on:  # noqa: B007
            pass
    assert isinstance(last, Purged)
    return last.outcome


def run(database: str, statement: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(statement)


@pytest.mark.parametrize(
    "held",
    [
        "LOCK TABLE movies IN ACCESS EXCLUSIVE MODE",
        "LOCK TABLE watch_history IN ROW EXCLUSIVE MODE",
        "SELECT FROM embeddings_256 LIMIT 1",
        "UPDATE users SET display_name = 'x'",
    ],
)
@pytest.mark.parametrize("what", ["movies", "everything"])
def test_a_lock_of_another_session(
    held: str, what: str, sample_database: Callable[[], str]
) -> None:
    database = sample_database()
    before = read_contents(database)
    with psycopg.connect(database, application_name="the holder") as holder:
        holder.execute(held)
        outcome = try_purge(database, "--what", what, *CONFIRMED, "--lock-timeout", "300ms")
        assert outcome.code == 6, outcome.err
        error = outcome.envelope["error"]
        assert error["code"] == "busy"
        assert f"pid {holder.info.backend_pid}, the holder" in error["cause"]
        assert f"pg_terminate_backend({holder.info.backend_pid})" in error["next"]
        holder.rollback()
    assert read_contents(database) == before


def test_a_reader_of_another_table_is_not_in_the_way(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    with psycopg.connect(database) as reader:
        reader.execute("SELECT FROM series, users LIMIT 1")
        reader.execute("UPDATE library_config SET name = name")
        purge(database, "--what", "movies", "--lock-timeout", "5s")


def test_running_migrations_keep_everything_out(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    with psycopg.connect(database) as runner:
        runner.execute("SELECT pg_advisory_xact_lock(%s)", [0x6170657274757265])
        outcome = try_purge(database, "--what", "everything", *CONFIRMED, "--lock-timeout", "300ms")
    assert outcome.code == 6
    assert "migrations are being applied" in outcome.envelope["error"]["message"]


@pytest.mark.parametrize("what", [PurgeTarget.RATINGS, PurgeTarget.MOVIES, PurgeTarget.EVERYTHING])
def test_rows_that_came_after_the_plan_are_reported(
    what: PurgeTarget, sample_database: Callable[[], str]
) -> None:
    database = sample_database()
    plan = make_plan_for(database, what)
    run(database, ADD_RATING)
    outcome = carry_out(database, plan)
    ratings = next(each for each in outcome.deleted if each.table == "user_ratings")
    assert ratings.rows == ratings.planned_rows + 2
    assert outcome.rows == plan.rows + 2


@pytest.mark.parametrize("what", [PurgeTarget.RATINGS, PurgeTarget.MOVIES, PurgeTarget.EVERYTHING])
def test_rows_that_came_after_the_plan_undo_it_where_a_number_is_expected(
    what: PurgeTarget, sample_database: Callable[[], str]
) -> None:
    database = sample_database()
    plan = make_plan_for(database, what)
    run(database, ADD_RATING)
    before = read_contents(database)
    with pytest.raises(ApertureDbError, match="rows would be deleted instead of") as caught:
        carry_out(database, plan, plan.rows)
    assert caught.value.code == "unexpected_rows"
    assert read_contents(database) == before


def test_a_table_that_the_plan_did_not_show_undoes_it(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    plan = make_plan_for(database, PurgeTarget.MOVIES)
    run(database, "CREATE TABLE notes AS SELECT id AS movie_id FROM movies LIMIT 2")
    run(
        database, "ALTER TABLE notes ADD FOREIGN KEY (movie_id) REFERENCES movies ON DELETE CASCADE"
    )
    before = read_contents(database)
    with pytest.raises(ApertureDbError) as caught:
        carry_out(database, plan)
    assert caught.value.why == "meanwhile added or altered: notes"
    assert read_contents(database) == before


@pytest.mark.parametrize(
    ("what", "case"), [("movies", Case("movies")), ("content", Case("content"))]
)
def test_without_ownership_rows_are_deleted_one_by_one(
    what: str, case: Case, sample_database: Callable[[], str], limited_role: Callable[..., str]
) -> None:
    database = sample_database()
    before = read_contents(database)
    role = limited_role(database, "write")
    parts = conninfo_to_dict(role)
    # For the schema in which user data is kept.
    run(database, f"GRANT CREATE ON DATABASE {parts['dbname']} TO {parts['user']}")
    data = purge(role, "--what", what)
    assert {deletion["way"] for deletion in data["plan"]["deletions"]} == {"delete", "skip"}
    assert "movies" in data["outcome"]["not_shrunk"]
    after = read_contents(database)
    expected = expected_after(case, before)
    assert {table: len(rows) for table, rows in after.items()} == {
        table: len(rows) for table, rows in expected.items()
    }


def test_the_owner_needs_to_be_no_superuser(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    data = purge(limited_role(database, "owner"), "--what", "movies")
    ways = {deletion["table"]: deletion["way"] for deletion in data["plan"]["deletions"]}
    assert (ways["movies"], ways["watch_history"]) == ("truncate", "delete")
    assert data["outcome"]["not_shrunk"] == []


def test_a_missing_privilege_is_named_before_anything_is_touched(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    database = sample_database()
    before = read_contents(database)
    reader = limited_role(database, "read")
    outcome = try_purge(reader, "--what", "ratings", *CONFIRMED)
    assert outcome.code == 1
    error = outcome.envelope["error"]
    assert error["code"] == "no_privilege"
    assert "DELETE on user_ratings" in error["cause"]
    assert "UPDATE on users, user_taste_profiles" in error["cause"]
    assert "GRANT DELETE ON TABLE" in error["next"]
    assert read_contents(database) == before

    plan = plan_of(reader, "--what", "ratings")
    assert [missing["privilege"] for missing in plan["missing_privileges"]] == ["DELETE", "UPDATE"]
    for missing in plan["missing_privileges"]:
        run(database, missing["grant"])
    purge(reader, "--what", "ratings")


def test_a_table_that_may_not_be_read_is_named(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    outcome = try_purge(limited_role(sample_database(), "none"), "--what", "ratings", "--dry-run")
    assert outcome.code == 1
    cause = outcome.envelope["error"]["cause"]
    assert cause == "it lacks SELECT on users, user_taste_profiles, user_ratings"


def test_rows_that_a_policy_hides_do_not_go_unseen(
    sample_database: Callable[[], str], limited_role: Callable[[str, Rights], str]
) -> None:
    """TRUNCATE heeds no policy, and what is counted under one is not all."""
    database = sample_database()
    owner = limited_role(database, "owner")
    run(
        database,
        "ALTER TABLE user_ratings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
        "CREATE POLICY few ON user_ratings USING (source = 'trakt')",
    )
    before = read_contents(database)
    for what in ("ratings", "everything"):
        outcome = try_purge(owner, "--what", what, *CONFIRMED)
        assert outcome.code == 1
        assert "row-level security" in outcome.err
        assert read_contents(database) == before


@pytest.mark.parametrize(
    ("body", "event", "table"),
    [
        ("RETURN NULL", "BEFORE DELETE", "watch_history"),
        (
            "UPDATE public.job_config SET is_enabled = false; RETURN OLD",
            "BEFORE DELETE",
            "watch_history",
        ),
        ("DELETE FROM public.sessions; RETURN NEW", "BEFORE UPDATE", "users"),
        ("RETURN NULL", "BEFORE UPDATE", "users"),
    ],
)
def test_triggers_that_do_something_else_undo_it(
    body: str, event: str, table: str, sample_database: Callable[[], str]
) -> None:
    database = sample_database()
    run(
        database,
        f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN {body}; END';"
        f"CREATE TRIGGER meddle {event} ON {table} FOR EACH ROW EXECUTE FUNCTION meddle()",
    )
    before = read_contents(database)
    outcome = try_purge(database, "--what", "movies", *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "not_as_planned"
    assert read_contents(database) == before


def test_rows_of_others_that_refer_to_the_scope_without_cascade(
    sample_database: Callable[[], str],
) -> None:
    database = sample_database()
    run(database, "CREATE TABLE receipts AS SELECT id AS movie_id FROM movies LIMIT 3")
    run(
        database,
        "ALTER TABLE receipts ADD CONSTRAINT bought FOREIGN KEY (movie_id) REFERENCES movies",
    )
    outcome = try_purge(database, "--what", "movies", *CONFIRMED)
    assert outcome.code == 1
    assert outcome.envelope["error"]["code"] == "rows_in_the_way"
    assert "3 rows of receipts" in outcome.envelope["error"]["message"]
    run(database, "UPDATE receipts SET movie_id = NULL")
    purge(database, "--what", "movies")


def test_a_standby_can_be_planned_for_but_not_purged(
    replicated_database: Callable[[], ReplicatedDatabase],
) -> None:
    database = replicated_database()
    apply_migrations(database.primary)
    run(database.primary, "INSERT INTO movies (provider_item_id, title) VALUES ('1', 'One')")
    database.wait_until_replayed()
    assert plan_of(database.standby, "--what", "movies")["rows"] == 1
    for what in ("movies", "everything"):
        outcome = try_purge(database.standby, "--what", what, *CONFIRMED)
        assert outcome.code == 1
        assert outcome.envelope["error"]["code"] == "read_only"


def test_warnings_are_those_of_this_database(small_library: str) -> None:
    with psycopg.connect(small_library, application_name="aperture"):
        warnings = warnings_of(plan_of(small_library, "--what", "movies"))
    assert warnings.keys() == {
        "auto_requests", "running_job", "sessions", "locked_profiles", "top_picks",
    }  # fmt: skip
    assert "automatically requests films from Seerr" in warnings["auto_requests"]
    assert "1 other session is connected to this database: pid " in warnings["sessions"]
    assert "1 locked taste profile will be kept" in warnings["locked_profiles"]
    ratings = warnings_of(plan_of(small_library, "--what", "ratings"))
    assert ratings.keys() == {"running_job", "locked_profiles"}


def test_an_untroubled_database_has_no_warnings(aperture_database: Callable[[], str]) -> None:
    database = aperture_database()
    run(database, "INSERT INTO movies (provider_item_id, title) VALUES ('1', 'One')")
    plan = plan_of(database, "--what", "movies")
    assert (plan["warnings"], plan["losses"], plan["rows"]) == ([], [], 1)
