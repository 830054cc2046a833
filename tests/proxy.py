"""A way to the server on which a test can stop a program at any message it sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Simple and extended queries: everything that makes the server work.
QUERIES = b"QPBDE"


@dataclass
class Gate:
    """Lets messages of clients through until the one that it holds back."""

    held_number: int | None = None
    """The message to hold, counted over all connections from 0; None lets everything through."""
    passes_held: bool = False
    """Let the held message through, but nothing that the server answers to it."""
    count: int = 0
    reached: threading.Event = field(default_factory=threading.Event)
    texts: list[bytes] = field(default_factory=list)
    """What was sent so far, held message included."""
    awake: threading.Event = field(default_factory=threading.Event)
    """Clear it, and new connections are accepted but not served, like those to a suspended
    serverless database."""

    def __post_init__(self) -> None:
        self.awake.set()

    def admits(self, message: bytes) -> bool:
        self.texts.append(message)
        number, self.count = self.count, self.count + 1
        if number != self.held_number:
            return True
        self.reached.set()
        return self.passes_held


class Proxy:
    """Forwards connections to a server, message by message, through a gate."""

    def __init__(self, conninfo: str, gate: Gate) -> None:
        parts = conninfo_to_dict(conninfo)
        self._address = (str(parts["host"]), int(str(parts["port"])))
        self._gate = gate
        self._sockets: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        port = self._server.getsockname()[1]
        self.conninfo = make_conninfo(
            conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable"
        )
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """End every connection that there is; new ones are let through."""
        self._gate.passes_held = False
        for each in list(self._sockets):
            _shut(each)

    def close(self) -> None:
        """End everything, threads included."""
        _shut(self._server)
        self._gate.awake.set()
        self._threads[0].join()
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in (self._server, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._gate.awake.wait()
            try:
                server = socket.create_connection(self._address)
            except OSError:
                # The server is down, and so it looks from here.
                client.close()
                continue
            for each in (client, server):
                # Parts of a message would wait for the acknowledgement of others.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets += [client, server]
            for run in (self._forward, self._answer):
                self._threads.append(threading.Thread(target=run, args=(client, server)))
                self._threads[-1].start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError), client.makefile("rb") as stream:
            size = stream.read(4)
            server.sendall(size + stream.read(int.from_bytes(size) - 4))
            while kind := stream.read(1):
                size = stream.read(4)
                message = kind + size + stream.read(int.from_bytes(size) - 4)
                if kind in QUERIES and not self._gate.admits(message):
                    stream.read()
                    break
                server.sendall(message)
        _shut(server)

    def _answer(self, client: socket.socket, server: socket.socket) -> None:
        is_newer = self._gate.reached.is_set()
        with suppress(OSError):
            while data := server.recv(65536):
                if is_newer or not (self._gate.passes_held and self._gate.reached.is_set()):
                    client.sendall(data)
        _shut(client)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(conninfo: str, gate: Gate) -> Iterator[Proxy]:
    """A way to the database of `conninfo` that leads through `gate`."""
    proxy = Proxy(conninfo, gate)
    try:
        yield proxy
    finally:
        proxy.close()


def is_connected(conninfo: str, *, waiting: bool = False) -> bool:
    """Whether a session of the program is in the database, and waits for a lock if so asked."""
    query = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'aperture-db'"
    )
    if waiting:
        query += " AND wait_event_type = 'Lock'"
    with psycopg.connect(conninfo) as conn:
        return conn.execute(query).rowcount > 0
