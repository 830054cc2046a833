"""Finds the statements in a text of SQL, as far as looking for certain words needs it.

This is a scanner, not a parser: it knows comments, strings and quoted names well enough never to
take their content for SQL. Whether the SQL is valid is for the server to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
BLOCK_BORDER = re.compile(r"/\*|\*/")
# Blocks of a function body in standard SQL (BEGIN ATOMIC … END) hold semicolons of their own.
BLOCK_DEPTHS = {"BEGIN": 1, "CASE": 1, "END": -1}


@dataclass(frozen=True)
class Token:
    """A word (upper case), a quoted name (without its quotes) or a single other character."""

    text: str
    offset: int
    is_word: bool = True


@dataclass(frozen=True)
class Statement:
    """One statement of a file; offsets count characters from the start of the text."""

    offset: int
    tokens: tuple[Token, ...]

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(token.text for token in self.tokens if token.is_word)

    @property
    def changes_session(self) -> bool:
        """Whether it is a SET, or a call of set_config as pg_dump writes it, whose effect lasts
        beyond the transaction."""
        if "SET_CONFIG" in self.words:
            return "TRUE" not in self.words
        lasting = self.words[1:2] not in (("LOCAL",), ("TRANSACTION",), ("CONSTRAINTS",))
        return self.starts_with("SET") and lasting

    def starts_with(self, *words: str) -> bool:
        return self.words[: len(words)] == words


def split_statements(text: str) -> tuple[Statement, ...]:
    """The statements of `text` in order; one without any token is none."""
    statements: list[Statement] = []
    tokens: list[Token] = []
    parentheses = blocks = 0
    for token in _tokenize(text):
        parentheses += {"(": 1, ")": -1}.get(token.text, 0)
        if token.text in BLOCK_DEPTHS and _defines_routine(tokens):
            blocks = max(0, blocks + BLOCK_DEPTHS[token.text])
        if token.text == ";" and parentheses <= 0 and not blocks:
            if tokens:
                statements.append(Statement(tokens[0].offset, tuple(tokens)))
            tokens, parentheses = [], 0
        else:
            tokens.append(token)
    if tokens:
        statements.append(Statement(tokens[0].offset, tuple(tokens)))
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
    """Where the character at `offset` stands, both counted from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _tokenize(text: str) -> Iterator[Token]:
    position = 0
    while match := TOKEN.match(text, position):
        position = match.end()
        match match.lastgroup:
            case "block":
                position = _block_comment_end(text, position)
            case "word":
                yield Token(match[0].upper(), match.start())
            case "name":
                yield Token(match[0][1:-1].replace('""', '"'), match.start())
            case "other":
                yield Token(match[0], match.start(), is_word=False)
            case "string" | "dollar":
                yield Token("'", match.start(), is_word=False)


def _block_comment_end(text: str, position: int) -> int:
    """Block comments nest in PostgreSQL. One that never ends runs to the end of the text."""
    depth = 1
    for border in BLOCK_BORDER.finditer(text, position):
        depth += 1 if border[0] == "/*" else -1
        if depth == 0:
            return border.end()
    return len(text)


def _defines_routine(tokens: list[Token]) -> bool:
    words = [token.text for token in tokens[:4]]
    return words[:1] == ["CREATE"] and bool({"FUNCTION", "PROCEDURE"} & set(words))
