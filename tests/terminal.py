"""The program at a terminal: a pseudo-terminal of a given width, both streams as a person sees
them."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from rich.text import Text

from tests.cli import COMMAND, TIMEOUT_SECONDS, environment


def open_terminal() -> tuple[int, int]:
    """The two ends of a pseudo-terminal; a test is skipped where the system has none, as in a
    chroot without /dev/pts."""
    try:
        return pty.openpty()
    except OSError as error:
        pytest.skip(f"no pseudo-terminal (/dev/pts): {error}")


def run_at_terminal(
    *arguments: str,
    conninfo: str | None = None,
    width: int = 80,
    typed: str = "",
    directory: Path = Path("/"),
    **variables: str,
) -> tuple[int, str]:
    """Run `aperture-db ARGUMENTS` at a terminal; the exit code and all that appeared there.

    `typed` is what the user types, line ends included. Variables such as TERM may be given.
    """
    screen, terminal = open_terminal()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(conninfo, **({"TERM": "xterm-256color"} | variables)),
        cwd=directory,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    os.write(screen, typed.encode())
    shown = _read_all(screen)
    os.close(screen)
    return process.wait(TIMEOUT_SECONDS), shown.replace("\r\n", "\n")


def words_of(shown: str) -> str:
    """What appeared as one line of words, without colours and breaks."""
    return " ".join(Text.from_ansi(shown).plain.split())


def _read_all(screen: int) -> str:
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(screen, 65536)
        except OSError as error:
            # Linux reports the end of a terminal without processes as an input error.
            if error.errno != errno.EIO:
                raise
            break
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()
