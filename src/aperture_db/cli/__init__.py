"""The command line. Commands parse, call one function and hand its result to one renderer."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """The console script `aperture-db`."""
    _occupy_standard_streams()
    try:
        from aperture_db.cli.app import run_program

        code = run_program(sys.argv[1:])
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    sys.exit(_flushed(code))


def _occupy_standard_streams() -> None:
    """Open what the caller has closed (`<&- >&-`): files would get these numbers, and children
    write what they say into them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)


def _flushed(code: int) -> int:
    """Write out what is still in the buffers: the interpreter would report a failure in its own
    words, and exit 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            code = code or 1
    return code
