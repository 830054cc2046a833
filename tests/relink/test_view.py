"""What relink prints, from results made by hand, and the description of its JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

from aperture_db.aperture import Media
from aperture_db.relink import kept, report, transfer, users
from aperture_db.relink.report import (
    Evidence,
    PendingTitle,
    PendingTitles,
    Reason,
    ReferenceCounts,
    RelinkOutcome,
    RelinkPlan,
    RelinkReport,
    RowCounts,
    RowState,
    TitleChoice,
    TitleCounts,
)
from aperture_db.relink.users import Account, AdoptedPair, UsersPlan
from aperture_db.render.relink import render_pending, render_relink, render_users
from tests.described import undescribed
from tests.snapshot import rendered

Snapshot = Callable[[str, str], None]

PENDING = (
    PendingTitle(
        UUID(int=1),
        Media.MOVIE,
        "Dune",
        Reason.AMBIGUOUS,
        "2 titles have its IMDb id",
        3,
        (TitleChoice(UUID(int=2), "Dune (1984)"), TitleChoice(UUID(int=3), "Dune (2021)")),
    ),
    PendingTitle(UUID(int=4), Media.SERIES, "Firefly (2002)", Reason.NOT_FOUND, "none", 1, ()),
)
PLAN = RelinkPlan(
    database="aperture",
    titles=(
        TitleCounts(
            Media.MOVIE,
            1200,
            {Evidence.IMDB: 1100, Evidence.TITLE: 60},
            {Reason.NOT_FOUND: 38, Reason.AMBIGUOUS: 2},
        ),
        TitleCounts(Media.SERIES, 42, {Evidence.TVDB: 42}, {}),
    ),
    rows=(
        RowCounts("maria", "user_ratings", {RowState.READY: 118, RowState.TITLE_PENDING: 3}),
        RowCounts("walter", "user_ratings", {RowState.USER_MISSING: 27}),
        RowCounts("tom", "user_watching_series", {RowState.RETURNS: 4, RowState.IN_PLACE: 1}),
    ),
    references=(
        ReferenceCounts("maria", "channels", 1, 1),
        ReferenceCounts(None, "similarity_validation_cache", 12, 0),
    ),
    pending=PENDING,
    unneeded_pending=38,
    remarks=("Alien (1979) is matched by TMDb id although its IMDb id is tt1, kept was tt2",),
    ready_rows=131,
    waiting_rows=35,
)
OUTCOME = RelinkOutcome({"user_ratings": 118}, {"user_ratings": 2}, {"channels": 1}, {}, 3, 0.42)


def test_plan(snapshot: Snapshot) -> None:
    snapshot("relink/plan", rendered(render_relink(RelinkReport(PLAN))))


def test_outcome(snapshot: Snapshot) -> None:
    snapshot("relink/outcome", rendered(render_relink(RelinkReport(PLAN, OUTCOME))))


def test_nothing_waits(snapshot: Snapshot) -> None:
    plan = replace(
        PLAN, rows=(), references=(), pending=(), remarks=(), ready_rows=0, waiting_rows=0
    )
    snapshot("relink/nothing", rendered(render_relink(RelinkReport(plan))))


def test_pending(snapshot: Snapshot) -> None:
    snapshot("relink/pending", rendered(render_pending(PendingTitles(PENDING))))


def test_users(snapshot: Snapshot) -> None:
    def account(number: int, provider: str, name: str, rows: int = 0) -> Account:
        return Account(UUID(int=number), provider, str(number), name, None, None, rows > 0, rows)

    ready = AdoptedPair(account(1, "emby", "Anna", 210), account(2, "jellyfin", "anna"), "")
    refused = AdoptedPair(
        account(3, "emby", "Ben", 10),
        account(4, "jellyfin", "ben", 2),
        "it has 2 rows",
    )
    plan = UsersPlan(
        "jellyfin",
        (ready, refused),
        (account(5, "emby", "Cleo", 7),),
        (account(6, "jellyfin", "C"),),
    )
    snapshot("relink/users", rendered(render_users(plan)))


def test_the_json_is_described() -> None:
    shapes = (
        report.RelinkReport, report.RelinkPlan, report.RelinkOutcome, report.TitleCounts,
        report.RowCounts, report.ReferenceCounts, report.PendingTitle, report.TitleChoice,
        report.PendingTitles, kept.Decision, kept.Decisions, kept.ForgetPlan,
        transfer.Transfer, report.KeptCounts, users.Account, users.AdoptedPair, users.UsersPlan,
    )  # fmt: skip
    assert undescribed("relink", *shapes) == set()
