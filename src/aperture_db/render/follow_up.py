"""Completes the commands in texts: pasted, they have to act on the database that was looked at."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aperture_db.format import shell_command, visible

# A command of ours to be pasted: at the beginning of a text or behind what announces it, with its
# options, and not as the subject of a sentence. Inside a container the database is another one.
FOLLOW_UP = re.compile(
    r"""
    (?:^\s*|(?<=:\ )|(?<=;\ )|(?<=\()|(?<=\ with\ ))
    aperture-db\ (?:backup|check-extensions|clean|health|migrate|psql|purge|relink|report|restore
        |stats|vacuum)\b(?!-)
    (?!\ (?:--help|can|has|is|keeps?|lists?|may|names?|puts?|saves?|shows?|will|would)\b)
    (?:\ (?!(?:and|as|gives|in|keeps?|lists?|names?|on|or|puts|saves?|shows?|then|to)\b)
        (?:'[^']*'|"[^"]*"|[^\s'";,)]|[;,)](?=\S))+)*
    """,
    re.VERBOSE,
)


class FollowUp:
    """The options by which a run was given its database: commands that it prints need them, too."""

    _options = ""

    def use(self, options: Sequence[str]) -> None:
        """Complete the commands of all texts from now on."""
        self._options = shell_command(*options) if options else ""

    def complete(self, text: str) -> str:
        """The text with these options in its commands, where they are not there already."""
        if not self._options or self._options in text:
            return text
        return FOLLOW_UP.sub(lambda match: f"{match[0]} {self._options}", text)


FOLLOW_UP_OPTIONS = FollowUp()


def shown(text: str) -> str:
    """A text as it is shown: with visible characters and complete commands."""
    return FOLLOW_UP_OPTIONS.complete(visible(text))
