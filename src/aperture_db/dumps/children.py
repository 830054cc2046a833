"""Client programs as child processes that end when we do, killed by the kernel or not."""

from __future__ import annotations

import ctypes
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

STOP_TIMEOUT_SECONDS = 5
KEPT_LINES = 20
FED_BYTES = 1 << 18
# Every program here reads or writes after each few kilobytes.
STUCK_CPU_SECONDS = 10.0
WATCH_SECONDS = 1.0
PR_SET_PDEATHSIG = 1
SERVER_REMARK = re.compile(r"(?!ERROR|FATAL|PANIC|WARNING)[^\W\da-z_]{3,} ?: ")


class Child:
    """A running client program."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self._process = process
        self._name = f"{name}: "
        self._in_remark = False
        self._complaints: deque[str] = deque(maxlen=KEPT_LINES)
        self._listener: threading.Thread | None = None
        self._feeder: threading.Thread | None = None
        self._feed_error: Exception | None = None
        self._is_stuck = False
        self._has_stopped = threading.Event()

    @property
    def stdout(self) -> io.BufferedReader:
        assert isinstance(self._process.stdout, io.BufferedReader)
        return self._process.stdout

    def lines(self) -> Iterator[str]:
        """Lines of its stderr, until it closes that. Pass those that may explain a failure to
        `keep`."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            yield line.decode(errors="replace").rstrip("\r\n")

    def keep(self, line: str) -> None:
        """Remember a line for `complaint`, unless it belongs to the server's DETAIL, CONTEXT or
        the like, in any language, which may quote a row over several lines."""
        self._in_remark = not line.startswith(self._name) and (
            self._in_remark or bool(SERVER_REMARK.match(line))
        )
        if line and not self._in_remark:
            self._complaints.append(line)

    def listen(self) -> None:
        """Keep everything from stderr in the background, so that the child never blocks on it."""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.lines():
            self.keep(line)

    def watch(self) -> None:
        """Kill the program when it computes without an end, as pg_restore does behind the end of
        a gzip stream that damage made too short (tried with 17 and 18). Linux only."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        moved, since = None, 0.0
        while (now := _read_progress(self._process.pid)) is not None:
            transferred, cpu_seconds = now
            if transferred != moved:
                moved, since = transferred, cpu_seconds
            elif cpu_seconds - since > STUCK_CPU_SECONDS:
                self._is_stuck = True
                self._process.kill()
            if self._has_stopped.wait(WATCH_SECONDS):
                return

    def feed(self, read: Callable[[int], bytes]) -> None:
        """Write what `read` gives to its stdin in the background, until that is empty or the
        program reads no more. `wait` raises an error of `read`."""
        self._feeder = threading.Thread(target=self._feed, args=[read], daemon=True)
        self._feeder.start()

    def _feed(self, read: Callable[[int], bytes]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        # A program that has all it wants leaves the rest.
        with suppress(BrokenPipeError), stdin:
            try:
                while block := read(FED_BYTES):
                    stdin.write(block)
            except BrokenPipeError:
                raise
            except Exception as error:
                self._feed_error = error

    def let_go(self) -> None:
        """End the threads that work for it. The program has ended, or was stopped."""
        self._has_stopped.set()
        for thread in (self._feeder, self._listener):
            if thread:
                thread.join(STOP_TIMEOUT_SECONDS)

    def wait(self) -> int:
        """The exit status, negative for a signal."""
        status = self._process.wait()
        self.let_go()
        if self._feed_error:
            raise self._feed_error
        return status

    @property
    def complaint(self) -> str:
        """The reason of a failure in the program's own words, without its name and severity."""
        if self._is_stuck:
            return "a damaged part of it makes the program compute without an end"
        for line in self._complaints:
            for mark in (": error: ", ": fatal: ", ": FATAL: "):
                if mark in line:
                    return line.partition(mark)[2]
        if self._complaints:
            return self._complaints[-1]
        status = self._process.returncode
        if status is not None and status < 0:
            return f"it was killed by signal {-status}"
        return f"it exited with status {status} and gave no reason"

    @property
    def details(self) -> tuple[str, ...]:
        """Every line kept, for a failure that one line does not explain."""
        return tuple(self._complaints)


def end_with_parent() -> Callable[[], None] | None:
    """The preexec_fn for a child that gets SIGTERM when the thread that starts it ends, by
    SIGKILL too: pg_dump then cancels its query and leaves no session behind. None where the
    system has no such signal (all but Linux)."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask_for_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            # It ended before we could ask.
            os._exit(1)

    return ask_for_signal


@contextmanager
def running(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
    inherited: Sequence[int] = (),
) -> Iterator[Child]:
    """Run a program for the block; it is stopped if it still runs at the end of the block.

    A child that reads or writes an open file inherits its descriptor: the name of the file may
    be another one's by now.
    """
    process = subprocess.Popen(
        [str(word) for word in command],
        env=dict(environment),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(inherited),
        preexec_fn=end_with_parent(),
    )
    child = Child(process, Path(command[0]).name)
    try:
        yield child
    finally:
        _stop(process)
        child.let_go()
        # Not before: a thread that reads from a stream would find it closed.
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _read_progress(pid: int) -> tuple[tuple[bytes, ...], float] | None:
    """What a process has read and written, and the processor time it took. None once it is gone,
    and where the system does not tell."""
    try:
        lines = Path(f"/proc/{pid}/io").read_bytes().splitlines()
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    # Its state comes first; utime and stime are fields 14 and 15 of proc(5).
    ticks = int(fields[11]) + int(fields[12])
    return tuple(lines[:4]), ticks / os.sysconf("SC_CLK_TCK")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
