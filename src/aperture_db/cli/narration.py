"""Old names until the last import of them is gone."""

from collections.abc import Iterator
from typing import TypeVar

from aperture_db.cli.run import Run
from aperture_db.progress import Event
from aperture_db.render.progress import ProgressReporter

Other = TypeVar("Other")


def narrate(
    run: Run,  # noqa: ARG001
    narrator: ProgressReporter,
    events: Iterator[Event | Other],
) -> Iterator[Other]:
    """Call `reporter.report(events)` instead."""
    return narrator.report(events)
