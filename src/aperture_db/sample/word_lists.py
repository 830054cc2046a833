"""Lists of known titles and of words, and titles, people and plots invented from the words.

The files in data/ hold facts only: titles, years, people, running times. Everything else about
known titles (ratings, plots, identifiers of other services) is made up.
"""

from __future__ import annotations

import csv
import json
from functools import cache
from importlib import resources
from random import Random
from typing import Literal, TypeAlias

WordList: TypeAlias = Literal[
    "adjectives", "nouns", "first_names", "last_names", "heroes", "deeds", "places", "studios",
    "networks", "keywords", "countries", "genres",
]  # fmt: skip


def words(name: WordList) -> list[str]:
    """One list of data/words.json."""
    return _word_lists()[name]


def read_table(name: str) -> list[dict[str, str]]:
    """The rows of data/`name`.psv by column name."""
    lines = _read(f"{name}.psv").splitlines()
    return list(csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE))


def person(rng: Random) -> str:
    """A first and a last name."""
    return f"{rng.choice(words('first_names'))} {rng.choice(words('last_names'))}"


def plot(rng: Random) -> str:
    """One sentence."""
    hero = rng.choice(words("heroes"))
    return (
        f"{hero[0].upper()}{hero[1:]} {rng.choice(words('deeds'))} {rng.choice(words('places'))}."
    )


def new_title(rng: Random, taken: set[str]) -> str:
    """A title that is not in `taken`, whatever its case; it is added there."""
    while True:
        first, second = rng.sample(words("nouns"), 2)
        adjective = rng.choice(words("adjectives"))
        title = rng.choice(
            (
                f"The {adjective} {first}",
                f"{adjective} {first}",
                f"The {first} and the {second}",
                f"{first} of the {adjective} {second}",
                f"The {first}'s {second}",
            )
        )
        if title.lower() not in taken:
            taken.add(title.lower())
            return title


@cache
def _word_lists() -> dict[str, list[str]]:
    lists: dict[str, list[str]] = json.loads(_read("words.json"))
    return lists


def _read(name: str) -> str:
    return resources.files("aperture_db.sample").joinpath("data", name).read_text(encoding="utf-8")
