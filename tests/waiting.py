"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.02


def wait_until(
    condition: Callable[[], object], what: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> None:
    """Return as soon as `condition` is true; fail the test, naming `what`, when it stays false."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout_seconds:g} s still not true: {what}")
        time.sleep(POLL_SECONDS)
