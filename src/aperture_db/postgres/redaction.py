"""Takes a secret out of texts that somebody else wrote, such as a driver's message."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

REDACTED = "********"


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
