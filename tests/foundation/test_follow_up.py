"""Printed commands act on the database that the run looked at."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from aperture_db.render.follow_up import FollowUp
from tests.cli import finish
from tests.dump_files import start_program

COMMANDS = (
    ("migrate", "--check"), ("stats",), ("health", "-v"), ("clean",), ("relink",),
    ("purge", "--what", "movies", "--dry-run"), ("check-extensions",), ("vacuum", "--dry-run"),
    ("backup", "--list"),
)  # fmt: skip
# The place of a command to be pasted: alone on its line, or after the words that announce it.
PASTED = re.compile(r"^\s*(?:next:\s+|to do it:\s+)?(aperture-db \w[\w-]*(?: .*)?)$", re.MULTILINE)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--database-url", "--env-file"])
def test_a_printed_command_names_the_same_database(
    words: tuple[str, ...],
    option: str,
    sample_database: Callable[[], str],
    new_database: Callable[[], str],
    tmp_path: Path,
) -> None:
    conninfo = new_database() if words[0] in ("migrate", "check-extensions") else sample_database()
    parts = conninfo_to_dict(conninfo)
    url = (f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/"
           f"{parts['dbname']}")  # fmt: skip
    value = url
    if option == "--env-file":
        file = tmp_path / "of the test.env"
        file.write_text(f"DATABASE_URL={url}\n")
        value = str(file)
    outcome = finish(start_program(*words, option, value))
    text = outcome.out + outcome.err
    assert str(parts["password"]) not in text
    for command in PASTED.findall(text):
        assert option in shlex.split(command), command


def test_a_command_is_completed_once_and_only_where_it_is_one() -> None:
    follow_up = FollowUp()
    follow_up.use(("--env-file", "a b"))
    complete = follow_up.complete
    assert complete("aperture-db stats --tables") == "aperture-db stats --tables --env-file 'a b'"
    for text in (
        "the files are newer; aperture-db check-extensions --create|",
        "create them with aperture-db check-extensions --create|, then run again",
        "check that the rows are there (aperture-db stats|). If they are",
        "  aperture-db relink --match a=b|",
        "To delete: aperture-db clean --apply KIND …|",
        "see the growth with: aperture-db stats --history|",
    ):
        assert complete(text.replace("|", "")) == text.replace("|", " --env-file 'a b'")
    assert complete(complete("aperture-db stats")) == complete("aperture-db stats")
    for text in (
        "docker exec aperture aperture-db migrate",
        "aperture-db health lists them",
        "the backup was not verified, and aperture-db restore would refuse it",
        "aperture-db restore would refuse the safety backup",
        "aperture-db COMMAND --help",
        "aperture-db demo stop",
        "/opt/aperture-db/stats",
    ):
        assert complete(text) == text
    follow_up.use(())
    assert complete("aperture-db stats") == "aperture-db stats"
