"""How Python values look in the JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from uuid import UUID

import pytest

from aperture_db.errors import BusyError
from aperture_db.render.console import render_envelope, to_plain


class Kind(Enum):
    MOVIES = "movies"


@dataclass(frozen=True)
class Inner:
    size_bytes: int


@dataclass(frozen=True)
class Outer:
    inner: Inner
    names: tuple[str, ...]
    secret: str = field(metadata={"json": False})


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        (2**40, 2**40),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("1.5"), 1.5),
        (Decimal("NaN"), None),
        ("é", "é"),
        (Kind.MOVIES, "movies"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (
            datetime(2026, 1, 2, 3, 4, 5, 60, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-02T01:04:05.000060Z",
        ),
        (date(2026, 1, 2), "2026-01-02"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/backups/x.dump"), "/backups/x.dump"),
        ({Kind.MOVIES: 1}, {"movies": 1}),
        ({"a": (1, 2), "b": frozenset({"y", "x"})}, {"a": [1, 2], "b": ["x", "y"]}),
        (Outer(Inner(5), ("a", "b"), "hidden"), {"inner": {"size_bytes": 5}, "names": ["a", "b"]}),
    ],
)
def test_plain_values(value: object, plain: object) -> None:
    assert to_plain(value) == plain


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="timedelta has no form in JSON"):
        to_plain(timedelta(seconds=1))


def test_details_belong_to_the_cause() -> None:
    error = BusyError("busy", why="locked", next_step="wait", details=("by 1", "by 2"))
    envelope = json.loads(render_envelope("vacuum", None, ["careful"], error, ok=False))
    assert envelope == {
        "schema_version": 1,
        "command": "vacuum",
        "ok": False,
        "data": None,
        "warnings": ["careful"],
        "error": {"code": "busy", "message": "busy", "cause": "locked\nby 1\nby 2", "next": "wait"},
    }


def test_letters() -> None:
    assert "Amélie" in render_envelope("stats", "Amélie", [], None, ok=True)
    assert render_envelope("stats", "Amélie", [], None, ok=True, ascii_only=True).isascii()
