"""The database to work on, and how its password is kept out of every text."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

DEFAULT_PORT = "5432"
REDACTED = "********"
# Without them libpq takes the first server that answers, or rather a standby.
TAKES_ANY_SERVER = ("", "any", "prefer-standby")
# A shorter password is found in many words of a message.
MIN_UNMISTAKABLE_CHARACTERS = 4


@dataclass(frozen=True)
class Target:
    """The database to work on. `params` are libpq's keywords, the password among them."""

    params: Mapping[str, str] = field(repr=False)
    source: str
    """Where the connection string was found, in words for the user."""
    warnings: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """The options that named it, for another command; empty where the environment or a file of
    the working directory did. A URL with a secret in it is left to be filled in."""

    @property
    def host(self) -> str:
        return self.params.get("host") or self.params.get("hostaddr") or ""

    @property
    def user(self) -> str:
        return self.params.get("user", "")

    @property
    def database(self) -> str:
        return self.params.get("dbname", "")

    @property
    def port(self) -> str:
        return self.params.get("port", DEFAULT_PORT)

    def __str__(self) -> str:
        """user@host:port/database, without the password."""
        hosts, ports = (self.host or "local socket").split(","), self.port.split(",")
        servers = [
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in zip(hosts, ports * (len(hosts) // len(ports)), strict=False)
        ]
        return f"{self.user}@{','.join(servers)}/{self.database}"

    def on_primary(self) -> Target:
        """The same database on the server that accepts writes, where several are named and the
        choice is left open."""
        attributes = self.params.get("target_session_attrs") or os.environ.get(
            "PGTARGETSESSIONATTRS", ""
        )
        if "," not in self.host or attributes not in TAKES_ANY_SERVER:
            return self
        return replace(self, params={**self.params, "target_session_attrs": "read-write"})

    def command_line(self, *words: str) -> str:
        """A command of this program, to be pasted, that works on the same database."""
        return shlex.join(["aperture-db", *words, *self.options])

    def redact(self, text: str) -> str:
        """A text of somebody else's without the password.

        A password that is also a part of the target's name (postgres:postgres@…) stays: the
        name is shown on purpose.
        """
        password = self.params.get("password", "")
        if password in (self.user, self.host, self.port, self.database):
            return text
        short = len(password) < MIN_UNMISTAKABLE_CHARACTERS
        return redact(text, password, whole_words=short or password in str(self))


def redact(text: str, secret: str, *, whole_words: bool = False) -> str:
    """Replace `secret`, as it is or as URLs, JSON, SQL and Python write it, in any mixture.

    `whole_words` spares words that merely contain it: garbled, they would give it away.
    """
    if not secret:
        return text
    pattern = "".join(_any_spelling(character) for character in secret)
    if whole_words:
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return re.sub(pattern, REDACTED, text)


def _any_spelling(character: str) -> str:
    encoded = "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogateescape"))
    spellings = {
        character,
        quote(character, errors="surrogateescape"),
        json.dumps(character)[1:-1],
        json.dumps(character, ensure_ascii=False)[1:-1],
        repr(character)[1:-1],
        "\\" + character,
    }
    if character == " ":
        spellings.add("+")
    if character in "'\"":
        # In SQL.
        spellings.add(character * 2)
    plain = sorted(map(re.escape, spellings), key=len, reverse=True)
    return f"(?:(?i:{re.escape(encoded)})|{'|'.join(plain)})"
