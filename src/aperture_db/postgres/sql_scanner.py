"""Finds where statements end in SQL, by the lexical rules of the server.

This is a scanner, not a parser: it knows quotes, dollar quotes, comments, parentheses and BEGIN
ATOMIC bodies well enough never to mistake their content for the end of a statement. The server
judges whether the SQL is valid. `standard_conforming_strings` is taken to be on.

Sources: src/backend/parser/scan.l and gram.y, src/fe_utils/psqlscan.l. Where psql guesses, at
BEGIN, CASE and END, the grammar decides here: psql reads a function named "begin" as a body.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

# Every character beyond ASCII belongs to names, as every byte with the high bit does for the
# server: the no-break space as well, and the characters of bytes that are decoded as Latin-1.
# Said by what is left out, since a range up to the last character takes re 20 ms to compile.
NAME_START = r"[^\x00-@\[-^`{-\x7f]"
NAME_PART = r"[^\x00-/:-@\[-^`{-\x7f]"
WORD_PART = r"[^\x00-\#%-/:-@\[-^`{-\x7f]"
TOKEN = re.compile(
    rf"""
    [ \t\n\r\f\v]*+
    (?:
      (?P<comment>--[^\n\r]*+)
    | (?P<block>/\*)
    | (?P<quote>[eE]' | [bBnNxX]?+' | [uU]&' | (?:[uU]&)?+")
    | (?P<dollar>\$(?:{NAME_START}{NAME_PART}*+)?\$)
    | (?P<word>{NAME_START}{WORD_PART}*+)
    | (?P<number>[0-9]++)
    | (?P<symbol>[^ \t\n\r\f\v])
    )
    """,
    re.VERBOSE,
)
# The rest of a quoted text, up to its closing quote or the end; a doubled quote is one of its
# characters. The quantifiers are possessive, so a text that is not closed costs linear time.
PLAIN_REST = re.compile(r"(?:[^']++|'')*+")
ESCAPED_REST = re.compile(r"(?:[^'\\]++|\\.|'')*+", re.DOTALL)
NAME_REST = re.compile(r'(?:[^"]++|"")*+')
LINE_END = re.compile(r"[\n\r]")
BLOCK_BORDER = re.compile(r"/\*|\*/")
UNICODE_ESCAPE = re.compile(r"\\(?:([0-9A-Fa-f]{4})|\+([0-9A-Fa-f]{6})|\\)")
# Keywords are folded by ASCII rules, whatever the locale.
ASCII_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)
ROUTINE_HEADS = (
    ("CREATE", "FUNCTION"),
    ("CREATE", "PROCEDURE"),
    ("CREATE", "OR", "REPLACE", "FUNCTION"),
    ("CREATE", "OR", "REPLACE", "PROCEDURE"),
)
HEAD_WORDS = 5
# Characters that end a token wherever they stand, and those that do not end a piece of a text.
SAFE_ENDS = (b" ", b",", b"(", b")", b";", b"=", b"+")
UNSAFE_IN_TEXT = b"'\"\\*/-$"
# The server cuts names at 63 bytes.
LONGEST_NAME = 1 << 16


class TokenKind(Enum):
    """The kinds of tokens that matter for splitting."""

    WORD = auto()
    """A keyword or a name without quotes; its text is upper case."""
    NAME = auto()
    """A quoted name; its text is the name without the quotes."""
    LITERAL = auto()
    """A string or digits; the text of a string is a single quote."""
    SYMBOL = auto()
    """Any other character."""
    END = auto()
    """The semicolon that ends a statement."""


class Token(NamedTuple):
    """One token; offsets count characters in the piece of text in which the token ends."""

    kind: TokenKind
    text: str
    start: int
    """Where it starts; 0 if that was in an earlier piece."""
    end: int


@dataclass(frozen=True)
class SqlStatement:
    """One statement of a text, without its semicolon."""

    tokens: tuple[Token, ...]

    @property
    def offset(self) -> int:
        """Where its first token starts, in characters from the start of the text."""
        return self.tokens[0].start

    @property
    def words(self) -> tuple[str, ...]:
        """Its keywords and names, the quoted ones too."""
        return tuple(
            token.text for token in self.tokens if token.kind in (TokenKind.WORD, TokenKind.NAME)
        )

    def starts_with(self, *words: str) -> bool:
        return self.words[: len(words)] == words


class SqlScanner:
    """Follows SQL that arrives in pieces, each of which ends at a line's end or behind one of
    SAFE_ENDS; within quotes and comments behind any character but UNSAFE_IN_TEXT.

    SQL that comes as bytes can be decoded as Latin-1: every byte then is one character, and
    offsets count bytes.
    """

    def __init__(self) -> None:
        self._open = ""
        """The start of the open quote, /* or -- for a comment, or empty."""
        self._tail = ""
        """The last characters of an open dollar quote, in which its end may have begun."""
        self._comment_depth = 0
        self._name = ""
        """The part of an open quoted name that was in earlier pieces."""
        self._follows_escape_string = False
        self._newline_since_string = False
        self._begin_statement()
        self._is_between = True

    @property
    def is_between_statements(self) -> bool:
        """Whether nothing of a statement, nor of a block comment, has come since the last one."""
        return self._is_between and not self._open

    @property
    def is_between_values(self) -> bool:
        """Whether an INSERT has begun, and neither parentheses nor a quote are open."""
        return not (self._is_between or self._open or self._parentheses) and (
            self._head[:1] == ("INSERT",)
        )

    @property
    def is_in_text(self) -> bool:
        """Whether a quote or a comment is open."""
        return bool(self._open)

    @property
    def head(self) -> tuple[str, ...]:
        """The first words of the statement, upper case, also after its end was found."""
        return self._head

    def find_end(self, text: str, position: int = 0) -> int | None:
        """The offset behind the semicolon that ends the statement, None when it goes on.

        Call it again from that offset, until it returns None.
        """
        for token in self.tokens(text, position):
            if token.kind is TokenKind.END:
                return token.end
        return None

    def tokens(self, text: str, position: int = 0) -> Iterator[Token]:
        """The tokens of a piece from `position` on, in linear time. Comments are left out."""
        for kind, value, start, end in self._lex(text, position):
            if self._is_between:
                self._begin_statement()
            is_end = value == ";" and kind is TokenKind.SYMBOL and self._ends_statement()
            if is_end:
                self._is_between = True
            else:
                self._follow(kind, value)
            yield Token(TokenKind.END if is_end else kind, value, start, end)

    def _begin_statement(self) -> None:
        self._is_between = False
        self._head: tuple[str, ...] = ()
        self._parentheses = 0
        self._in_body = False
        self._previous = ""
        """The token before, where BEGIN, ATOMIC or END depend on it."""

    def _ends_statement(self) -> bool:
        return not self._parentheses and not self._in_body

    def _follow(self, kind: TokenKind, value: str) -> None:
        """Keep account of the parentheses and of the body in standard SQL.

        Such a body is BEGIN ATOMIC, statements with a semicolon each, END. So END closes it only
        behind a semicolon or ATOMIC: the END of a CASE, or a column of that name, never is there.
        """
        if kind is TokenKind.SYMBOL:
            if value == "(":
                self._parentheses += 1
            elif value == ")":
                self._parentheses = max(0, self._parentheses - 1)
        elif kind is TokenKind.WORD:
            if len(self._head) < HEAD_WORDS:
                self._head += (value,)
            if not self._parentheses:
                if self._in_body:
                    self._in_body = not (value == "END" and self._previous in (";", "ATOMIC"))
                elif value == "ATOMIC" and self._previous == "BEGIN":
                    self._in_body = any(
                        self._head[: len(words)] == words for words in ROUTINE_HEADS
                    )
        self._previous = value if kind in (TokenKind.WORD, TokenKind.SYMBOL) else ""

    def _lex(self, text: str, position: int) -> Iterator[Token]:
        start = 0
        while position < len(text):
            if self._open == "/*":
                position = self._skip_comment(text, position)
            elif self._open == "--":
                if (end := LINE_END.search(text, position)) is None:
                    return
                self._open, position = "", end.start()
            elif self._open:
                token = self._close(text, start, position)
                if token is None:
                    return
                yield token
                position = token.end
            else:
                match = TOKEN.match(text, position)
                if match is None:
                    self._newline_since_string |= _has_newline(text[position:])
                    return
                start, position = match.start(match.lastgroup or 0), match.end()
                if token := self._take(match, start):
                    yield token

    def _take(self, match: re.Match[str], start: int) -> Token | None:
        """The token of a match, None for what only opens a quote or is a comment."""
        group, value = match.lastgroup, match[match.lastgroup or 0]
        self._newline_since_string |= _has_newline(match.string[match.start() : start])
        if group == "comment":
            self._open = "--" if match.end() == len(match.string) else ""
            return None
        continues_string = (
            value == "'" and self._follows_escape_string and self._newline_since_string
        )
        self._follows_escape_string = False
        match group:
            case "block":
                self._open, self._comment_depth = "/*", 1
            case "quote":
                # A string goes on behind white space with a newline, and its backslashes do.
                self._open = "E'" if continues_string else value.upper()
                self._name = ""
            case "dollar":
                self._open, self._tail = value, ""
            case "word":
                return Token(TokenKind.WORD, value.translate(ASCII_UPPER), start, match.end())
            case "number":
                return Token(TokenKind.LITERAL, value, start, match.end())
            case _:
                return Token(TokenKind.SYMBOL, value, start, match.end())
        return None

    def _close(self, text: str, start: int, position: int) -> Token | None:
        """The token of the open quote if it is closed in `text`."""
        if self._open.endswith('"'):
            return self._close_name(text, start, position)
        if self._open.endswith("$"):
            end = self._end_of_dollar_quote(text, position)
        else:
            rest = ESCAPED_REST if self._open == "E'" else PLAIN_REST
            end = _end_of_quote(rest, text, position)
        if end is None:
            return None
        self._follows_escape_string = self._open == "E'"
        self._newline_since_string = False
        self._open = ""
        return Token(TokenKind.LITERAL, "'", start, end)

    def _close_name(self, text: str, start: int, position: int) -> Token | None:
        end = _end_of_quote(NAME_REST, text, position)
        if end is None:
            if len(self._name) < LONGEST_NAME:
                self._name += text[position:]
            return None
        name = (self._name + text[position : end - 1]).replace('""', '"')
        if self._open.startswith("U&"):
            name = UNICODE_ESCAPE.sub(_escaped_character, name)
            # Two escapes can be the halves of one character.
            name = name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self._open = ""
        return Token(TokenKind.NAME, name, start, end)

    def _end_of_dollar_quote(self, text: str, position: int) -> int | None:
        tail = self._tail
        found = (tail + text[position : position + len(self._open)]).find(self._open)
        if found < 0:
            tail, found = "", text.find(self._open, position) - position
        if found < 0:
            self._tail = (self._tail + text[position:])[1 - len(self._open) :]
            return None
        return position + found + len(self._open) - len(tail)

    def _skip_comment(self, text: str, position: int) -> int:
        """Block comments nest in PostgreSQL."""
        border = BLOCK_BORDER.search(text, position)
        if border is None:
            return len(text)
        self._comment_depth += 1 if border[0] == "/*" else -1
        if not self._comment_depth:
            self._open = ""
        return border.end()


def split_statements(text: str) -> tuple[SqlStatement, ...]:
    """The statements of `text` in order; empty ones are left out."""
    statements: list[SqlStatement] = []
    tokens: list[Token] = []
    for token in SqlScanner().tokens(text):
        if token.kind is not TokenKind.END:
            tokens.append(token)
        elif tokens:
            statements.append(SqlStatement(tuple(tokens)))
            tokens = []
    if tokens:
        statements.append(SqlStatement(tuple(tokens)))
    return tuple(statements)


def head_comments(text: str) -> list[str]:
    """The comment lines before the first statement, without their dashes."""
    comments = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("--"):
            comments.append(stripped[2:].strip())
        elif stripped:
            break
    return comments


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Line and column of the character at `offset`, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _has_newline(space: str) -> bool:
    return "\n" in space or "\r" in space


def _end_of_quote(rest: re.Pattern[str], text: str, position: int) -> int | None:
    """The offset behind the closing quote, None when there is none in `text`."""
    match = rest.match(text, position)
    assert match is not None
    end = match.end()
    # A backslash that is the last character of all stops the match, too.
    return end + 1 if end < len(text) and text[end] != "\\" else None


def _escaped_character(match: re.Match[str]) -> str:
    digits = match[1] or match[2]
    return chr(min(int(digits, 16), 0x10FFFF)) if digits else "\\"
