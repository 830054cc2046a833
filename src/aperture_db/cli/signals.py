"""SIGTERM and SIGHUP as exceptions, so that clean-up runs as it does on Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# As a shell reports a program that SIGPIPE ended; `aperture-db … | head -1` is no failure of ours.
EXIT_CODE_OUTPUT_CLOSED = 128 + signal.SIGPIPE


class Terminated(KeyboardInterrupt):
    """A signal asked the process to end.

    A KeyboardInterrupt, because psycopg cancels the running statement on exactly that.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.exit_code = 128 + signal_number


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM."""
    if isinstance(interrupt, Terminated):
        return interrupt.exit_code
    return 128 + signal.SIGINT


@contextmanager
def raising_on_termination() -> Iterator[None]:
    """Raise Terminated in the main thread on SIGTERM or SIGHUP during the block.

    A second signal finds the first one's clean-up at work and is ignored.
    """

    def interrupt(number: int, _frame: FrameType | None) -> None:
        for handled in previous:
            signal.signal(handled, signal.SIG_IGN)
        raise Terminated(number)

    previous = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGHUP)
        # nohup starts the process with SIGHUP ignored, and that stays so.
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in previous:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
