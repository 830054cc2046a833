"""Things that listen on a port and are no PostgreSQL server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen on a loopback port, which it gives; `answer` gets every connection."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, answer, connections))
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            # Wakes accept() and recv() in the thread.
            for opened in (server, *connections):
                with suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
            thread.join()


def _serve(
    server: socket.socket,
    answer: Callable[[socket.socket], None],
    connections: list[socket.socket],
) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        connections.append(connection)
        with connection, suppress(OSError):
            answer(connection)


def stay_silent(connection: socket.socket) -> None:
    """Answer nothing until the client gives up."""
    while connection.recv(1024):
        pass


def close_at_once(connection: socket.socket) -> None:
    """Take the first message and close."""
    connection.recv(1024)


def speak_http(connection: socket.socket) -> None:
    """Answer as a web server does."""
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
