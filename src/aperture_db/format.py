"""Numbers, sizes and times as people read and write them, and texts that are safe to show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import PurePath

UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def format_count(count: int, *, exact: bool = True) -> str:
    """12,345; an estimate is marked ~12,345."""
    return f"{count:,}" if exact else f"~{count:,}"


def format_bytes(size_bytes: int) -> str:
    """Three significant digits in powers of 1024, with PostgreSQL's unit names."""
    sign = "-" if size_bytes < 0 else ""
    size = float(abs(size_bytes))
    for unit in SIZE_UNITS:
        if size < 999.5 or unit == SIZE_UNITS[-1]:
            break
        size /= 1024
    digits = 0 if unit == "B" or size >= 99.95 else 1 if size >= 9.995 else 2
    return f"{sign}{size:.{digits}f} {unit}"


def format_seconds(seconds: float) -> str:
    """40 ms, 7.5 s, 3 min 05 s, 2 h 10 min, 4 d 3 h."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {whole:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def parse_seconds(text: str) -> float:
    """The seconds of a duration: 500ms, 5s, 30m, 2h, 1d or a bare number. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in UNIT_SECONDS:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 5s, 30m or 2h")
    return float(match[1]) * UNIT_SECONDS[match[2]]


def format_percent(share: float) -> str:
    """0.123 as 12.3 %; never 100 % for less than the whole."""
    percent = share * 100
    text = f"{percent:.1f}" if percent < 99.95 or share >= 1 else "99.9"
    return f"{text} %"


def format_time(moment: datetime) -> str:
    """UTC to the second, so that cron logs of different machines can be compared."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def plural(
    count: int, noun: str, plural_noun: str | None = None, *, verb: tuple[str, str] | None = None
) -> str:
    """1 table, 2 tables, 0 series; with a verb for one and for more: 1 table is, 2 tables are."""
    counted = f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"
    return f"{counted} {verb[count != 1]}" if verb else counted


def list_some(names: Iterable[str], most: int = 8, *, separator: str = ", ") -> str:
    """a, b, c: all of them, or the first ones and how many more."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return separator.join(every[:most]) + more


# What a terminal obeys (C0, DEL, C1), what separates lines, has no width or turns the direction of
# its neighbours, and the bytes of a file name that are no UTF-8.
UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str) -> str:
    """`text` in one line that shows every character: those that a terminal would obey, hide or
    move as \\n, \\x1b, \\u202e. Everything shown passes here, in `render/console.py`."""
    return UNSHOWN.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        # As Python holds a byte of a file name that is no UTF-8.
        code -= 0xDC00
    if code > 0xFF:
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return SHORT_ESCAPES.get(character, f"\\x{code:02x}")


QUOTED_NAME = re.compile(r'"(?:[^"]|"")*"')


def pasteable(step: str) -> str:
    """The same for advice: a name in SQL stays the same name, as U&"\\+00000a"."""
    return visible(QUOTED_NAME.sub(lambda match: _unicode_name(match[0]), step))


def _unicode_name(quoted: str) -> str:
    if not UNSHOWN.search(quoted):
        return quoted
    doubled = quoted.replace("\\", "\\\\")
    return "U&" + UNSHOWN.sub(lambda match: f"\\+{ord(match[0]):06x}", doubled)


def shell_command(*words: object) -> str:
    """A command to be pasted: each word quoted for a shell, a path never taken for an option.

    Characters that aren't shown are written as $'\\x1b', which bash and zsh know.
    """
    return " ".join(map(_shell_word, words))


def _shell_word(word: object) -> str:
    text = str(word)
    if isinstance(word, PurePath) and text.startswith("-"):
        text = f"./{text}"
    if not UNSHOWN.search(text):
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{UNSHOWN.sub(lambda match: _hexadecimal(match[0]), escaped)}'"


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def vacuum_command(tables: Iterable[str], *options: str) -> str:
    """As a shell takes it; `tables` are named as `vacuum --table` knows them."""
    named = (word for table in tables for word in ("--table", table))
    return shell_command("aperture-db", "vacuum", *options, *named)


def quote_identifier(name: str) -> str:
    """`name` as SQL writes any identifier; for texts, not for statements that are run."""
    return '"' + name.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """`text` as SQL writes any string; for texts, not for statements that are run."""
    doubled = text.replace("'", "''")
    if "\\" not in text and not UNSHOWN.search(text):
        return f"'{doubled}'"
    escaped = doubled.replace("\\", "\\\\")
    return "E'" + UNSHOWN.sub(lambda match: f"\\U{ord(match[0]):08x}", escaped) + "'"


def as_administrator(statements: Iterable[str]) -> str:
    """The sentence that asks for the statements, with who may run them."""
    text = " ".join(statements)
    who = "a superuser" if text.startswith("ALTER ROLE") else "the owner or a superuser"
    return f"as {who} run: {text}"


def as_bytes(statement: str) -> bytes:
    """A statement that was put together from what the server wrote, ready to be executed."""
    return statement.encode(errors="surrogateescape")
