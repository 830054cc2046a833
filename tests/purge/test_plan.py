"""The plan as it is shown, and the jobs that it names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg
import pytest

from aperture_db.aperture import KNOWN_JOBS, Group
from aperture_db.purge import PurgeOptions, PurgeTarget
from aperture_db.purge.report import (
    Deletion,
    JobToRun,
    MissingPrivilege,
    PurgeOutcome,
    PurgePlan,
    PurgeReport,
    PurgeWarning,
    Strategy,
    TableOutcome,
    Unrecoverable,
    Update,
    UpdateOutcome,
)
from aperture_db.relink.report import KeptCounts
from aperture_db.render.purge import render_plan, render_purge
from tests.described import undescribed
from tests.purge.purging import losses_of, plan_of, warnings_of
from tests.snapshot import rendered

PLAN = PurgePlan(
    what=PurgeTarget.MOVIES,
    options=PurgeOptions(include_locked=True),
    deletions=(
        Deletion("movies", Group.CONTENT, 20_000, 20_000, 66_060_288, Strategy.TRUNCATE),
        Deletion(
            "embeddings_768", Group.EMBEDDINGS, 19_996, 19_996, 117_440_512, Strategy.TRUNCATE
        ),
        Deletion("embeddings_256", Group.EMBEDDINGS, 0, 0, 49_152, Strategy.TRUNCATE),
        Deletion("watch_history", Group.WATCH_DATA, 98_277, 280_000, 135_266_304, Strategy.DELETE),
    ),
    updates=(
        Update(
            "user_preferences", ("taste_embedding", "taste_synopsis"), "NULL", 6,
            "each user can request a new synopsis; settings are kept",
        ),
        Update("channels", ("example_movie_ids",), "'{}'", 0, "the channel is kept"),
    ),
    kept=("series and episodes with all their data", "all configuration, job history"),
    losses=(Unrecoverable("manual ratings", 130, "made in Aperture and kept nowhere else"),),
    warnings=(
        PurgeWarning(
            "sessions",
            "1 other session is connected to this database: pid 4711, aperture, user aperture, "
            "idle.",
        ),
    ),
    missing_privileges=(
        MissingPrivilege(
            "UPDATE", ("user_preferences",),
            'GRANT UPDATE ON TABLE "public"."user_preferences" TO "admin";',
        ),
    ),
    first=("Stop Aperture (docker stop aperture).",),
    then=("Start Aperture again (docker start aperture).",),
    jobs=(
        JobToRun("sync-movies", False, "", "aperture-db relink --apply"),
        JobToRun("enrich-metadata", True, "before embedding: they use it"),
        JobToRun(
            "generate-movie-embeddings", False,
            "20,000 films through openai:text-embedding-3-large, which costs money",
        ),
    ),
    rows=138_273,
    updated_rows=6,
    dropped_kept_rows=0,
    planned_at=datetime(2026, 11, 21, 20, 0, tzinfo=UTC),
    user_data=KeptCounts({"movies": 20_000}, {"user_ratings": 130, "watch_history": 0}),
    preparation=None,
)  # fmt: skip
OUTCOME = PurgeOutcome(
    deleted=(
        TableOutcome("movies", 20_000, 20_000),
        TableOutcome("embeddings_256", 0, 0),
        TableOutcome("watch_history", 98_279, 98_277),
    ),
    updated=(UpdateOutcome("user_preferences", ("taste_embedding",), 6, 6),),
    rows=118_279,
    updated_rows=6,
    duration_seconds=1.83,
    size_before_bytes=648_544_256,
    size_after_bytes=423_624_704,
    freed_bytes=224_919_552,
    not_shrunk=("watch_history",),
    shrink_command="aperture-db vacuum --full --table=watch_history",
)


def test_the_plan(snapshot: Callable[[str, str], None]) -> None:
    snapshot("purge/plan", rendered(render_plan(PLAN)))


def test_a_dry_run(snapshot: Callable[[str, str], None]) -> None:
    report = PurgeReport(
        PLAN,
        is_dry_run=True,
        command="aperture-db purge --what movies --expect-rows 138273 --include-locked",
    )
    snapshot("purge/dry_run", rendered(render_purge(report)))


@pytest.mark.parametrize("backup", [None, "/backups/aperture_before_purge_2026-11-21.dump"])
def test_the_outcome(backup: str | None, snapshot: Callable[[str, str], None]) -> None:
    undo = backup and f"aperture-db restore {backup}"
    report = PurgeReport(PLAN, is_dry_run=False, outcome=OUTCOME, backup=backup, undo_command=undo)
    name = "purge/outcome" if backup is None else "purge/outcome_with_backup"
    snapshot(name, rendered(render_purge(report)))


JOBS = {
    "movies": (
        "sync-movies sync-movie-watch-history [enrich-metadata] [enrich-mdblist] "
        "generate-movie-embeddings [sync-trakt-ratings] generate-movie-recommendations "
        "sync-movie-libraries refresh-top-picks [generate-discovery-suggestions] "
        "[refresh-library-gaps] [enrich-studio-logos] [refresh-assistant-suggestions]"
    ),
    "series": (
        "sync-series sync-series-watch-history sync-watching-favorites [enrich-metadata] "
        "[enrich-mdblist] generate-series-embeddings [sync-trakt-ratings] "
        "generate-series-recommendations sync-series-libraries refresh-top-picks "
        "[generate-discovery-suggestions] [refresh-assistant-suggestions]"
    ),
    "content": (
        "sync-movies sync-series sync-movie-watch-history sync-series-watch-history "
        "sync-watching-favorites [enrich-metadata] [enrich-mdblist] generate-movie-embeddings "
        "generate-series-embeddings [sync-trakt-ratings] generate-movie-recommendations "
        "generate-series-recommendations sync-movie-libraries sync-series-libraries "
        "refresh-top-picks [generate-discovery-suggestions] [refresh-library-gaps] "
        "[enrich-studio-logos] [refresh-assistant-suggestions]"
    ),
    "watch-history": (
        "sync-movie-watch-history sync-series-watch-history generate-movie-recommendations "
        "generate-series-recommendations sync-movie-libraries sync-series-libraries "
        "refresh-top-picks [generate-discovery-suggestions] [refresh-assistant-suggestions]"
    ),
    "ratings": (
        "sync-trakt-ratings generate-movie-recommendations generate-series-recommendations "
        "sync-movie-libraries sync-series-libraries"
    ),
}
JOBS["everything"] = f"sync-users {JOBS['content']}"


@pytest.mark.parametrize("what", JOBS)
def test_the_jobs_to_run_afterwards(what: str, sample_database: Callable[[], str]) -> None:
    jobs = plan_of(sample_database(), "--what", what)["jobs"]
    assert {job["name"] for job in jobs} <= KNOWN_JOBS
    names = [f"[{job['name']}]" if job["is_optional"] else job["name"] for job in jobs]
    assert " ".join(names) == JOBS[what]


def test_embeddings_are_announced_with_their_price(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "UPDATE system_settings SET value = jsonb_set(value::jsonb, '{embeddings}', "
            '\'{"provider": "openai", "model": "text-embedding-3-large"}\')::text '
            "WHERE key = 'ai_config'"
        )
    jobs = plan_of(database, "--what", "content")["jobs"]
    notes = {job["name"]: job["note"] for job in jobs}
    assert notes["generate-movie-embeddings"] == (
        "60 films through openai:text-embedding-3-large, which costs money"
    )
    assert notes["generate-series-embeddings"].startswith("8 series, 48 episodes through openai:")


def test_what_cannot_be_recovered_is_counted(small_library: str) -> None:
    with psycopg.connect(small_library) as conn:
        manual = conn.execute(
            "SELECT count(*) FILTER (WHERE movie_id IS NOT NULL), count(*) "
            "FROM user_ratings WHERE source = 'manual'"
        ).fetchone()
    assert manual is not None
    movies = losses_of(plan_of(small_library, "--what", "movies", "--no-keep"))
    assert movies["manual ratings"] == manual[0]
    assert "series being watched" not in movies
    content = losses_of(plan_of(small_library, "--what", "content", "--no-keep"))
    assert content["manual ratings"] == manual[1]
    assert content["trakt ratings"] == 2
    assert content["series being watched"] > 0
    assert losses_of(plan_of(small_library, "--what", "watch-history")) == {}


def test_what_is_kept_for_relink_is_counted_and_not_lost(small_library: str) -> None:
    plan = plan_of(small_library, "--what", "content")
    deleted = {each["table"]: each["rows"] for each in plan["deletions"]}
    for table in ("user_ratings", "user_watching_series"):
        assert plan["user_data"]["rows"][table] == deleted[table] > 0
    for table in ("movies", "series"):
        assert plan["user_data"]["titles"][table] == deleted[table] > 0
    assert losses_of(plan) == {}
    assert not {"channels", "graph_playlists"} & {each["table"] for each in plan["updates"]}
    assert plan_of(small_library, "--what", "ratings")["user_data"] is None
    assert plan_of(small_library, "--what", "content", "--no-keep")["user_data"] is None


def test_a_watching_list_that_no_job_fetches_is_lost_whole(small_library: str) -> None:
    with psycopg.connect(small_library) as conn:
        row = conn.execute("SELECT count(*) FROM user_watching_series").fetchone()
        conn.execute(
            "INSERT INTO system_settings (key, value) VALUES ('watching_library_enabled', 'false') "
            "ON CONFLICT (key) DO UPDATE SET value = 'false'"
        )
    assert row is not None
    plan = plan_of(small_library, "--what", "series", "--no-keep")
    assert losses_of(plan)["series being watched"] == row[0]


def test_locked_profiles_are_told_with_their_consequence(small_library: str) -> None:
    plan = plan_of(small_library, "--what", "movies", "--include-locked")
    assert "delete the franchise preferences" in warnings_of(plan)["locked_profiles"]
    plan = plan_of(small_library, "--what", "content")
    assert warnings_of(plan)["locked_profiles"].startswith("2 locked taste profiles will be kept")


def test_the_json_is_described() -> None:
    shapes = (
        PurgeReport, PurgePlan, PurgeOutcome, PurgeOptions, Deletion, Update, Unrecoverable,
        PurgeWarning, MissingPrivilege, JobToRun, TableOutcome, UpdateOutcome,
    )  # fmt: skip
    assert undescribed("purge", *shapes) == set()
