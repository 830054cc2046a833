"""The session contract's cost in round trips, command by command.

    python -m bench.contract [LATENCY_MS]

Each command runs through a proxy that counts the server's answers to complete messages, with the
contract and without it. Without it a transaction opens with BEGIN alone, a statement outside of
one has none, and nobody looks up Aperture's schema. Counts do not depend on how busy the machine
is; the seconds are those of one run with the latency of a network on every round trip.
"""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aperture_db.aperture import schema
from aperture_db.cli.app import run_program
from aperture_db.extensions import collect
from aperture_db.migrations import status
from aperture_db.postgres.session import Connection, OriginalPath, open_session
from aperture_db.sample import TEST_SIZE, fill
from bench.harness import running_server

LATENCY_MS = 5
ACCESS = {True: " READ ONLY", False: "", None: ""}
PROMISED_ROUND_TRIPS = 1.0
"""More than without the contract, per transaction."""
COMMANDS = (
    ("stats",),
    ("stats", "--tables"),
    ("health",),
    ("check-extensions",),
    ("migrate",),
    ("migrate", "--status"),
    ("clean",),
    ("vacuum", "--dry-run"),
    ("purge", "--what", "content", "--dry-run"),
)


@dataclass
class Counter:
    """Counts ReadyForQuery, which ends each answer of the server, behind the first of each
    connection, which ends its start."""

    latency_seconds: float = 0.0
    round_trips: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on what the client sends, each piece with the latency of a round trip."""
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                time.sleep(self.latency_seconds)
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def answer(self, client: socket.socket, server: socket.socket) -> None:
        """Pass on the server's messages, and count."""
        is_started = False
        with contextlib.suppress(OSError), server.makefile("rb") as stream:
            while header := stream.read(5):
                body = stream.read(int.from_bytes(header[1:]) - 4)
                if header[:1] == b"Z":
                    with self.lock:
                        self.round_trips += is_started
                    is_started = True
                client.sendall(header + body)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def counted(conninfo: str, counter: Counter) -> Iterator[str]:
    """A connection string to the same database through a counting proxy."""
    parts = conninfo_to_dict(conninfo)
    address = (str(parts["host"]), int(str(parts["port"])))
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(address)
                for each in (client, server):
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for run in (counter.forward, counter.answer):
                    threading.Thread(target=run, args=(client, server), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port = listener.getsockname()[1]
    yield make_conninfo(
        conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
    )
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@contextmanager
def without_contract() -> Iterator[None]:
    """The program as it would be without the contract."""

    place = schema.Location("public", True, ())
    path = OriginalPath('"$user", public', ("public",))
    with (
        mock.patch.object(Connection, "_opening", lambda conn: f"BEGIN{ACCESS[conn.read_only]}"),
        mock.patch.object(Connection, "_path", path),
        mock.patch.object(Connection, "needs_transaction", False),
        mock.patch.object(Connection, "renew_contract"),
        mock.patch.object(schema, "locate", return_value=place),
        mock.patch.object(status, "locate", return_value=place),
        mock.patch.object(collect, "locate", return_value=place),
    ):
        yield


@contextmanager
def counted_transactions() -> Iterator[list[int]]:
    """How many transactions the contract opens in the block."""
    opened = [0]
    opening = Connection._opening

    def counting(conn: Connection) -> str:
        opened[0] += 1
        return opening(conn)

    with mock.patch.object(Connection, "_opening", counting):
        yield opened


def run_once(command: tuple[str, ...], conninfo: str, counter: Counter) -> tuple[int, float]:
    """Round trips and seconds of one run."""
    counter.round_trips, started = 0, time.perf_counter()
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        run_program([*command, "--database-url", conninfo])
    return counter.round_trips, time.perf_counter() - started


def compare(command: tuple[str, ...], conninfo: str, counter: Counter) -> float:
    """Print one line; returns the round trips more per transaction."""
    with without_contract():
        before, seconds_before = run_once(command, conninfo, counter)
    with counted_transactions() as opened:
        after, seconds_after = run_once(command, conninfo, counter)
    cost = (after - before) / opened[0]
    print(
        f"{' '.join(command):34} {before:6} {after:6} {opened[0]:6} {cost:8.2f} "
        f"{seconds_before:8.2f} {seconds_after:8.2f}",
        flush=True,
    )
    return cost


def main(latency_ms: float = LATENCY_MS) -> None:
    with running_server() as server, server.new_database() as conninfo:
        run_program(["migrate", "--quiet", "--database-url", conninfo])
        with open_session(conninfo) as conn:
            schema.locate(conn)
            for _ in fill(conn, TEST_SIZE):
                pass
        counter = Counter(latency_ms / 1000)
        print(f"latency {latency_ms:g} ms; round trips without and with the contract, its")
        print("transactions, round trips more per transaction, seconds without and with it\n")
        with counted(conninfo, counter) as through:
            costs = [compare(command, through, counter) for command in COMMANDS]
    worst = max(costs)
    verdict = "kept" if worst <= PROMISED_ROUND_TRIPS else "NOT KEPT"
    print(f"\nat most {worst:.2f} per transaction, promised {PROMISED_ROUND_TRIPS}: {verdict}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
