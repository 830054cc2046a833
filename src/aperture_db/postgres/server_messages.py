"""The server's messages without the stored values that they quote."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import Diagnostic
from psycopg.pq import DiagnosticField

from aperture_db.postgres.session import Connection

# Data exceptions, violated constraints and check options: their messages quote the value or row.
VALUE_CLASSES = ("22", "23", "44")
# They quote the bytes of one character, and name the encodings.
ENCODING_STATES = ("22021", "22P05")
RAISED_BY = ("exec_stmt_raise", "exec_stmt_assert")
RAISED_CLASSES = ("P0", "38", "39")
COPY_CONTEXT = re.compile(
    r"COPY (?P<table>[^\s,]+), \w+ (?P<line>\d+)(?:, \w+ (?P<column>[^\s:,]+))?"
)
FUNCTION_CONTEXT = re.compile(
    r"PL/\w+\W.*?(?P<name>[^\s()]+\(.*?\)|inline_code_block)\D*(?P<line>\d+)?"
)
# A word or a name, a number that counts something, a function.
PLAIN_WORD = re.compile(r"[A-Za-z]?[^\W\d_A-Z]*(?:[_.'-][^\W\d_A-Z]+)*|[A-Z]{1,8}|\d{1,7}|\w+\(\)")
LONGEST_WORD = 30
HIDDEN = "…"
# The ASCII ones, those in pairs, and the corners of Asian languages.
QUOTATION_MARK = re.compile("[\"'`<>\u00ab\u00bb\u2018-\u201f\u2039\u203a\u300c-\u300f]")
TEXT_FIELDS = tuple(DiagnosticField[f] for f in
    ("MESSAGE_PRIMARY", "MESSAGE_DETAIL", "MESSAGE_HINT", "CONTEXT"))  # fmt: skip
NAME_FIELDS = tuple(field for field in DiagnosticField if field.name.endswith("_NAME"))


def hide_values(error: psycopg.Error) -> None:
    """Take out of an error of the server what may quote stored values: tokens and keys are among
    them, and errors are printed and attached to reports. Works in every language of the server;
    docs/security.md says what stays."""
    if error.diag.sqlstate is None:
        return
    fields = hide_values_of(error.diag)
    primary, *others = (fields.get(field, "") for field in TEXT_FIELDS)
    labels = zip(("DETAIL", "HINT", "CONTEXT"), others, strict=True)
    text = "\n".join([primary, *(f"{label}:  {text}" for label, text in labels if text)])
    info: dict[int, bytes | None] = {field: text.encode() for field, text in fields.items()}
    psycopg.Error.__init__(error, text, info=info, pgconn=error.pgconn)


def hide_values_of(diag: Diagnostic) -> dict[DiagnosticField, str]:
    """The fields of a message of the server that are not empty, without stored values."""
    state = diag.sqlstate or ""
    fields = {field: getattr(diag, field.name.lower()) or "" for field in DiagnosticField}
    primary, detail, hint, context = (fields[field] for field in TEXT_FIELDS)
    # A lack of memory, disk space or connections (53) has nothing to do with values.
    if (diag.source_function in RAISED_BY and state[:2] != "53") or state[:2] in RAISED_CLASSES:
        # Its author may have put anything into it.
        primary, detail, hint = map(_hide_unusual_words, (primary, detail, hint))
        fields |= dict.fromkeys(NAME_FIELDS, "")
    elif state[:2] in VALUE_CLASSES:
        primary, detail = _without_value(primary, state), _violated(diag, detail)
    fields |= dict(zip(TEXT_FIELDS, (primary, detail, hint, _places(context)), strict=True))
    fields[DiagnosticField.INTERNAL_QUERY] = ""
    return {field: text for field, text in fields.items() if text}


def _hide_unusual_words(text: str) -> str:
    """A message that a function raises, with its words, but nothing that looks like a value."""
    text = re.sub(r"\{.*\}|\(.*,.*\)", HIDDEN, text, flags=re.DOTALL)
    return re.sub(r"[^\s,;:]+", _hide_unusual_word, text)


def _hide_unusual_word(match: re.Match[str]) -> str:
    word = match[0].strip("".join(QUOTATION_MARK.findall(match[0])) + ".!?()")
    is_plain = len(word) <= LONGEST_WORD and PLAIN_WORD.fullmatch(word)
    return match[0] if is_plain else match[0].replace(word, HIDDEN)


def _without_value(primary: str, state: str) -> str:
    """The message up to the value that it quotes; the name of the error where the value is in the
    middle. Only data exceptions have one."""
    quote = QUOTATION_MARK.search(primary)
    if quote is None or state[:2] != "22" or state in ENCODING_STATES:
        return primary
    start = primary[: quote.start()].rstrip()
    if start.endswith(":"):
        return start[:-1].rstrip()
    with suppress(KeyError):
        name = psycopg.errors.lookup(state).__name__
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return "invalid value"


def _violated(diag: Diagnostic, detail: str) -> str:
    """Names instead of the row that the server's DETAIL quotes."""
    key = re.search(r"\((.*?)\)=\(", detail)
    column = diag.column_name or (key[1] if key else None)
    names = {"table": diag.table_name, "column": column, "constraint": diag.constraint_name}
    return ", ".join(f"{kind} {name}" for kind, name in names.items() if name)


def _places(context: str) -> str:
    """Where in COPY or in which function it happened. Other lines quote statements and values."""
    places = []
    for line in context.splitlines():
        if copied := COPY_CONTEXT.match(line):
            column = f", column {copied['column']}" if copied["column"] else ""
            places.append(f"COPY {copied['table']}, line {copied['line']}{column}")
        elif called := FUNCTION_CONTEXT.match(line):
            number = f" line {called['line']}" if called["line"] else ""
            places.append(f"function {called['name']}{number}")
    return "\n".join(places)


class DiscreetConnection(Connection):
    """A connection whose errors and notices hold no stored values."""

    def wait(self, gen: PQGen[Any], *args: Any, **options: Any) -> Any:
        """Wait for the server. Every statement goes through here, and so its errors lose the
        values that they quote before anybody sees them."""
        try:
            return super().wait(gen, *args, **options)
        except psycopg.Error as error:
            hide_values(error)
            raise

    def add_notice_handler(self, callback: Callable[[Diagnostic], None]) -> None:
        """Have `callback` called for notices and warnings, without stored values."""
        super().add_notice_handler(
            lambda notice: callback(
                Diagnostic({field: text.encode() for field, text in hide_values_of(notice).items()})
            )
        )
