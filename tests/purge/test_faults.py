"""Whatever ends the program before the commit, nothing has changed; after it, everything has."""

from __future__ import annotations

import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.cli import finish, start_cli
from tests.proxy import Gate, is_connected, proxied
from tests.purge.contents import counts, read_contents
from tests.purge.expected import Case, expected_after
from tests.purge.purging import CONFIRMED
from tests.waiting import wait_until

LAST_POINT = 9
ENDINGS = [
    *(("movies", "kill", point) for point in range(LAST_POINT + 1)),
    *(("movies", "cut", point) for point in (0, 4, 6, LAST_POINT)),
    *(("everything", "kill", point) for point in (0, 5, LAST_POINT)),
    *(("everything", "cut", point) for point in (4, LAST_POINT)),
]
BLOCK = """
    CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock(42); RETURN coalesce(NEW, OLD); END';
    CREATE TRIGGER block BEFORE {event} ON {table} EXECUTE FUNCTION block()
"""


@pytest.fixture(scope="module")
def sent() -> dict[str, list[bytes]]:
    """What a whole purge sends, by option; filled by the first test that asks."""
    return {}


def transaction_of(
    what: str, sent: dict[str, list[bytes]], new_library: Callable[[], str]
) -> tuple[int, int]:
    """The numbers of the messages that begin and commit the purge, when nothing disturbs it."""
    if what not in sent:
        gate = Gate()
        with proxied(new_library(), gate) as proxy:
            done = finish(start_cli("purge", "--what", what, *CONFIRMED, conninfo=proxy.conninfo))
        assert done.code == 0, done.err
        sent[what] = gate.texts
    return purge_transaction(sent[what])


def purge_transaction(texts: list[bytes]) -> tuple[int, int]:
    """The numbers of the messages that begin and commit the transaction with the locks."""
    locked = next(number for number, text in enumerate(texts) if b"LOCK TABLE" in text)
    begin = max(number for number, text in enumerate(texts[:locked]) if b"BEGIN" in text)
    commit = next(n for n, text in enumerate(texts) if n > locked and b"COMMIT" in text)
    return begin, commit


@pytest.mark.parametrize(("what", "ending", "point"), ENDINGS)
def test_an_end_before_the_commit_changes_nothing(
    what: str,
    ending: str,
    point: int,
    sent: dict[str, list[bytes]],
    sample_database: Callable[[], str],
) -> None:
    begin, commit = transaction_of(what, sent, sample_database)
    database = sample_database()
    before = read_contents(database)
    gate = Gate(held_number=begin + 1 + (commit - begin - 1) * point // LAST_POINT)
    with proxied(database, gate) as proxy:
        process = start_cli("purge", "--what", what, *CONFIRMED, conninfo=proxy.conninfo)
        assert gate.reached.wait(60)
        if ending == "kill":
            process.kill()
        else:
            proxy.cut()
        outcome = finish(process)
    wait_until(lambda: not is_connected(database), "the session has ended")
    assert read_contents(database) == before
    if ending == "cut":
        assert outcome.code == 1
        assert "nothing was changed" in outcome.err


def test_killed_after_the_commit_all_of_it_is_done(
    sent: dict[str, list[bytes]], sample_database: Callable[[], str]
) -> None:
    _, commit = transaction_of("movies", sent, sample_database)
    database = sample_database()
    before = read_contents(database)
    gate = Gate(held_number=commit + 1)
    with proxied(database, gate) as proxy:
        process = start_cli("purge", "--what", "movies", *CONFIRMED, conninfo=proxy.conninfo)
        assert gate.reached.wait(60)
        process.kill()
        finish(process)
    wait_until(lambda: not is_connected(database), "the session has ended")
    assert counts(read_contents(database)) == counts(expected_after(Case("movies"), before))


def test_a_commit_without_an_answer_is_asked_for(
    sent: dict[str, list[bytes]], sample_database: Callable[[], str]
) -> None:
    _, commit = transaction_of("movies", sent, sample_database)
    database = sample_database()
    before = read_contents(database)
    gate = Gate(held_number=commit, passes_held=True)
    with proxied(database, gate) as proxy:
        process = start_cli("purge", "--what", "movies", *CONFIRMED, conninfo=proxy.conninfo)
        assert gate.reached.wait(60)
        after = counts(expected_after(Case("movies"), before))
        wait_until(lambda: counts(read_contents(database)) == after, "the commit is done")
        proxy.cut()
        outcome = finish(process)
    assert outcome.code == 1
    assert "the server says that it was committed" in outcome.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize(
    "block",
    [
        BLOCK.format(event="UPDATE", table="users FOR EACH ROW"),
        BLOCK.format(event="DELETE", table="watch_history FOR EACH ROW"),
        BLOCK.format(event="TRUNCATE", table="movies"),
        "",
    ],
    ids=["changing", "deleting", "truncating", "waiting for a lock"],
)
def test_a_signal_rolls_back_and_says_so(
    number: signal.Signals, code: int, block: str, sample_database: Callable[[], str]
) -> None:
    database = sample_database()
    before = read_contents(database)
    with psycopg.connect(database, autocommit=True) as other:
        if block:
            other.execute(block)
            other.execute("SELECT pg_advisory_lock(42)")
        else:
            other.execute("BEGIN; SELECT FROM movies LIMIT 1")
        process = start_cli("purge", "--what", "movies", *CONFIRMED, conninfo=database)
        wait_until(lambda: is_connected(database, waiting=True), "the purge waits")
        process.send_signal(number)
        outcome = finish(process)
        assert outcome.code == code
        note = "interrupted: the purge was rolled back, nothing was changed"
        assert outcome.err.splitlines()[-1] == note
        # Cancelled on the server, too, while what it waited for is still held.
        wait_until(lambda: not is_connected(database), "the session has ended")
    assert read_contents(database) == before


def test_a_signal_while_everything_is_rebuilt(sample_database: Callable[[], str]) -> None:
    database = sample_database()
    before = read_contents(database)
    with psycopg.connect(database) as other:
        other.execute("LOCK TABLE users IN ACCESS SHARE MODE")
        process = start_cli("purge", "--what", "everything", *CONFIRMED, conninfo=database)
        wait_until(lambda: is_connected(database, waiting=True), "the purge waits")
        process.send_signal(signal.SIGTERM)
        outcome = finish(process)
    assert outcome.code == 143
    assert "nothing was changed" in outcome.err
    assert read_contents(database) == before
