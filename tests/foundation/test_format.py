"""Numbers, sizes and times as people read them."""

from __future__ import annotations

import shlex
import subprocess
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperture_db.format import (
    format_bytes,
    format_count,
    format_percent,
    format_seconds,
    format_time,
    pasteable,
    plural,
    quote_identifier,
    quote_literal,
    shell_command,
    visible,
)


def test_counts() -> None:
    assert format_count(0) == "0"
    assert format_count(12345) == "12,345"
    assert format_count(12345, exact=False) == "~12,345"
    assert plural(0, "table") == "0 tables"
    assert plural(1, "table") == "1 table"
    assert plural(1234, "series", "series") == "1,234 series"


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 kB"),
        (1024, "1.00 kB"),
        (10 * 1024, "10.0 kB"),
        (100 * 1024, "100 kB"),
        (1023 * 1024, "1.00 MB"),
        (2**30 + 2**29, "1.50 GB"),
        (-2048, "-2.00 kB"),
        (5 * 2**60, "5120 PB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@given(st.integers(0, 2**59))
def test_sizes_have_three_digits_and_are_near_the_truth(size_bytes: int) -> None:
    number, unit = format_bytes(size_bytes).split()
    assert len(number.replace(".", "")) <= 3
    shown = float(number) * 1024 ** ("B", "kB", "MB", "GB", "TB", "PB").index(unit)
    assert shown == pytest.approx(size_bytes, rel=0.006)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.04, "40 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (7.54, "7.5 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (48 * 3600, "2 d 0 h"),
        (99 * 3600, "4 d 3 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0.0 %"),
        (0.123, "12.3 %"),
        (0.9999, "99.9 %"),
        (1, "100.0 %"),
        (1.5, "150.0 %"),
    ],
)
def test_shares(share: float, text: str) -> None:
    assert format_percent(share) == text


def test_times_are_in_utc() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 999, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(moment) == "2026-01-02 01:04:05 UTC"
    assert format_time(moment.astimezone(UTC)) == format_time(moment)


HIDDEN_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def test_every_character_of_a_shown_text_is_visible() -> None:
    hostile = "a\x1b]0;x\x07b\x9bc\u202ed\nnext:  e\r\tf\u200bg\u2028h\x85i\udcffj\U000e0041"
    assert visible(hostile) == (
        r"a\x1b]0;x\x07b\x9bc\u202ed\nnext:  e\r\tf\u200bg\u2028h\x85i\xffj\U000e0041"
    )
    assert visible("Amélie 💚 東京 [bold]x[/bold]") == "Amélie 💚 東京 [bold]x[/bold]"


@given(st.text(st.characters(exclude_categories=[])))
def test_nothing_shown_controls_a_terminal(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(character) in HIDDEN_CATEGORIES for character in shown)
    assert not any(unicodedata.bidirectional(c) in BIDIRECTIONAL_MARKS for c in shown)
    assert visible(shown) == shown


BIDIRECTIONAL_MARKS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_a_command_is_the_same_words_for_a_shell(words: list[str]) -> None:
    command = shell_command("printf", "%s\\0", *words)
    assert visible(command) == command
    done = subprocess.run(["/bin/bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"{word}\0" for word in words or [""])


def test_a_path_is_never_an_option() -> None:
    assert shell_command("ls", Path("-rf"), Path("/a b")) == "ls ./-rf '/a b'"
    assert shlex.split(shell_command("ls", Path("q; touch INJ"))) == ["ls", "q; touch INJ"]


def test_names_in_advice_stay_the_same_names(admin_conninfo: str) -> None:
    names = ['a"b; DROP', "line\nbreak", "back\\slash \x1b", "right\u202eto left", "\x9b"]
    with psycopg.connect(admin_conninfo) as conn:
        for name in names:
            identifier, literal = quote_identifier(name), quote_literal(name)
            sql = pasteable(f"SELECT {literal} AS {identifier};")
            assert visible(sql) == sql
            cursor = conn.execute(sql.encode())
            assert cursor.description is not None
            assert (cursor.description[0].name, cursor.fetchone()) == (name, (name,))
