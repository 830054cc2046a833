"""Tells where statements end in SQL that arrives line by line, as bytes.

Knows quotes, dollar quotes, comments, parentheses and BEGIN ATOMIC bodies well enough never to
take their content for the end of a statement. Whether the SQL is valid is for the server to say.
"""

from __future__ import annotations

import re

TOKEN = re.compile(
    rb"""
      (?P<comment>--)
    | (?P<block>/\*)
    | (?P<escaped>[eE]')
    | (?P<quote>['"])
    | (?P<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)
    | (?P<word>[A-Za-z_\x80-\xff][\w$\x80-\xff]*)
    | (?P<mark>[();])
    """,
    re.VERBOSE,
)
ESCAPED_END = re.compile(rb"(?:[^'\\]|\\.|'')*?'(?!')", re.DOTALL)
BLOCK_BORDER = re.compile(rb"/\*|\*/")
ROUTINES = {b"FUNCTION", b"PROCEDURE"}
# Bodies in standard SQL (BEGIN ATOMIC … END) hold semicolons of their own.
BLOCK_DEPTHS = {b"BEGIN": 1, b"CASE": 1, b"END": -1}
HEAD_WORDS = 5


class Lexer:
    """The state between two lines of SQL."""

    def __init__(self) -> None:
        self._quote = b""
        """What ends the open quote: ', ", $tag$, E' for an escaped string, or empty."""
        self._comment_depth = 0
        self._parentheses = 0
        self._blocks = 0
        self.head: tuple[bytes, ...] = ()
        """The first words of the statement, upper case."""

    @property
    def is_between_statements(self) -> bool:
        """Nothing of a statement has been seen since the last one ended."""
        return not (self.head or self._quote or self._comment_depth or self._parentheses)

    def next_statement(self) -> None:
        """Forget the statement that `find_end` has found the end of."""
        self.head = ()
        self._parentheses = self._blocks = 0

    def find_end(self, line: bytes, position: int = 0) -> int | None:
        """The offset behind the semicolon that ends the statement, None when it goes on."""
        while position < len(line):
            if self._quote:
                position = self._skip_quote(line, position)
            elif self._comment_depth:
                position = self._skip_comment(line, position)
            elif not (match := TOKEN.search(line, position)) or match.lastgroup == "comment":
                return None
            elif self._take(match):
                return match.end()
            else:
                position = match.end()
        return None

    def _take(self, match: re.Match[bytes]) -> bool:
        """Whether this token ends the statement."""
        token = match[0]
        match match.lastgroup:
            case "block":
                self._comment_depth = 1
            case "escaped":
                self._quote = b"E'"
            case "quote" | "dollar":
                self._quote = token
            case "word":
                self._take_word(token.upper())
            case _ if token == b";":
                return self._parentheses <= 0 and not self._blocks
            case _:
                self._parentheses += 1 if token == b"(" else -1
        return False

    def _take_word(self, word: bytes) -> None:
        if len(self.head) < HEAD_WORDS:
            self.head += (word,)
        if self.head[0] == b"CREATE" and ROUTINES & set(self.head[:4]):
            self._blocks = max(0, self._blocks + BLOCK_DEPTHS.get(word, 0))

    def _skip_quote(self, line: bytes, position: int) -> int:
        """The offset behind the open quote, or the line's end."""
        if self._quote == b"E'":
            closed = ESCAPED_END.match(line, position)
            self._quote = b"" if closed else self._quote
            return closed.end() if closed else len(line)
        found = line.find(self._quote, position)
        if found < 0:
            return len(line)
        # A doubled quote ends one string here and begins the next one, to the same effect.
        end = found + len(self._quote)
        self._quote = b""
        return end

    def _skip_comment(self, line: bytes, position: int) -> int:
        """Block comments nest in PostgreSQL."""
        border = BLOCK_BORDER.search(line, position)
        if border is None:
            return len(line)
        self._comment_depth += 1 if border[0] == b"/*" else -1
        return border.end()
