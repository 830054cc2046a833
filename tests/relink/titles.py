"""Titles to match, made in one line each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from aperture_db.aperture import Media
from aperture_db.relink.matching import match_titles
from aperture_db.relink.report import Match, Pending, TitleIdentity

KEPT_AT = datetime(2026, 1, 5, tzinfo=UTC)


def film(title: str, year: int | None = None, **attributes: Any) -> TitleIdentity:
    """A film that is present."""
    given: dict[str, Any] = {"id": uuid4(), "kind": Media.MOVIE, **attributes}
    return TitleIdentity(title=title, year=year, **given)


def series(title: str, year: int | None = None, **attributes: Any) -> TitleIdentity:
    return film(title, year, kind=Media.SERIES, **attributes)


def episode(of: TitleIdentity, season: int, number: int, **attributes: Any) -> TitleIdentity:
    return film(
        "Episode",
        kind=Media.EPISODE,
        series_id=of.id,
        season=season,
        episode=number,
        kept_at=of.kept_at,
        **attributes,
    )


def kept(title: str, year: int | None = None, **attributes: Any) -> TitleIdentity:
    """A film that was kept by the first purge."""
    return film(title, year, **({"kept_at": KEPT_AT} | attributes))


def kept_series(title: str, year: int | None = None, **attributes: Any) -> TitleIdentity:
    return kept(title, year, kind=Media.SERIES, **attributes)


def later(days: int = 1) -> datetime:
    """The time of a second purge."""
    return KEPT_AT + timedelta(days=days)


def match(
    old: TitleIdentity | list[TitleIdentity],
    *present: TitleIdentity,
    decisions: dict[UUID, UUID] | None = None,
) -> Match | Pending:
    """The result of the first kept title."""
    olds = old if isinstance(old, list) else [old]
    return match_titles(olds, present, decisions)[olds[0]]


def new_of(result: Match | Pending) -> TitleIdentity:
    assert isinstance(result, Match), result
    return result.new


def pending(result: Match | Pending) -> Pending:
    assert isinstance(result, Pending), result
    return result
