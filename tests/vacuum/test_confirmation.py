"""The typed confirmation, at a real (pseudo) terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess

import psycopg
import pytest

from tests.cli import COMMAND, TIMEOUT_SECONDS, environment

QUESTION = b'Type "yes I am sure" to go on: '
FILE = "SELECT pg_relation_filenode('movies'::regclass)"


def answer_at_terminal(conninfo: str, answer: bytes) -> tuple[int, bytes]:
    """Run `vacuum --full` at a terminal and type `answer` when asked; the exit code and what
    the terminal showed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "vacuum", "--full", "--table", "movies"],
        env=environment(conninfo, TERM="xterm"), cwd="/",
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown, is_answered = b"", False
    while select.select([ours], [], [], TIMEOUT_SECONDS)[0]:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the program has ended
            break
        if QUESTION in shown and not is_answered:
            is_answered = True
            os.write(ours, answer)
    os.close(ours)
    return process.wait(TIMEOUT_SECONDS), shown


def test_the_exact_phrase_goes_on(used_database: str) -> None:
    with psycopg.connect(used_database, autocommit=True) as conn:
        before = conn.execute(FILE).fetchone()
        code, shown = answer_at_terminal(used_database, b"yes I am sure\n")
        assert code == 0, shown
        assert b"Aperture can neither read nor write it" in shown
        assert conn.execute(FILE).fetchone() != before


@pytest.mark.parametrize("answer", [b"yes i am sure\n", b"y\n", b"\n", b"\x04"])
def test_anything_else_changes_nothing_and_there_is_one_try(
    used_database: str, answer: bytes
) -> None:
    with psycopg.connect(used_database, autocommit=True) as conn:
        before = conn.execute(FILE).fetchone()
        code, shown = answer_at_terminal(used_database, answer)
        assert code == 4, shown
        assert shown.count(QUESTION) == 1
        assert b"nothing was changed" in shown
        assert conn.execute(FILE).fetchone() == before
