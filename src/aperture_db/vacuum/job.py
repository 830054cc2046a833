"""What the work on every table shares: the connections, the progress, and what the server said."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from psycopg import sql
from psycopg.errors import Diagnostic

from aperture_db.postgres.connection import Connection
from aperture_db.postgres.target import Target
from aperture_db.vacuum.events import Event, Progress, ServerNotice
from aperture_db.vacuum.report import Mode, PlannedTable
from aperture_db.vacuum.stages import Meter, Observation, observe
from aperture_db.vacuum.statement import RunningStatement
from aperture_db.vacuum.watch import ProgressWatch

Result = TypeVar("Result")
Events: TypeAlias = Generator[Event, None, Result]

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Notice:
    """What the server said beside its answer."""

    severity: str
    """In English, whatever the server's language."""
    sqlstate: str
    text: str


@dataclass(frozen=True)
class Job:
    """What the work on every table shares."""

    conn: Connection
    target: Target
    watch: ProgressWatch
    meter: Meter
    mode: Mode
    lock_timeout_seconds: float
    notices: list[Notice] = field(default_factory=list)
    """What the server said during the statement that runs or has just run."""

    def listen(self) -> None:
        """Collect what the server says from now on."""
        self.conn.add_notice_handler(lambda diagnostic: self.notices.append(_copy(diagnostic)))


def run_statement(
    job: Job, table: PlannedTable, statement: sql.Composed, rebuilt_count: int
) -> Iterator[Event]:
    """Run one statement and tell its progress. Leaving early cancels it on the server."""
    job.notices.clear()
    with RunningStatement(job.conn, statement) as running:
        while not running.wait(POLL_SECONDS):
            seen = observe(job.watch.look(table), table, rebuilt_count)
            if seen is not None:
                yield Progress(table.name, _describe(job, seen), job.meter.see(table, seen))


def _describe(job: Job, seen: Observation) -> str:
    session = job.watch.find_session(seen.waits_for_pid) if seen.waits_for_pid else None
    return f"{seen}: {session}" if session else str(seen)


def tell_notices(job: Job, table: PlannedTable) -> Iterator[ServerNotice]:
    for notice in job.notices:
        if notice.severity in ("WARNING", "NOTICE"):
            yield ServerNotice(table.name, notice.text)


def _copy(diagnostic: Diagnostic) -> Notice:
    """The driver's own object is empty once its handler has returned."""
    texts = (diagnostic.message_primary, diagnostic.message_hint)
    return Notice(
        severity=diagnostic.severity_nonlocalized or "",
        sqlstate=diagnostic.sqlstate or "",
        text="; ".join(text for text in texts if text),
    )


def milliseconds(seconds: float) -> str:
    """As lock_timeout takes it, where 0 would mean for ever."""
    return f"{max(1, round(seconds * 1000))}ms"
