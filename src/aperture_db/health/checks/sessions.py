"""What other sessions do that holds Aperture up."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.format import format_seconds, plural
from aperture_db.health.check import Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.health.requirements import need_other_sessions
from aperture_db.postgres.activity import Session, find_sessions


@dataclass(frozen=True)
class IdleSession(Session):
    idle_seconds: float


@dataclass(frozen=True)
class WaitingSession:
    """A row of health/blocked_queries.sql."""

    pid: int
    application: str
    user: str
    waiting_seconds: float
    blocking_pids: list[int]


@dataclass(frozen=True)
class PreparedTransaction:
    gid: str
    age_seconds: float


def _name(session: Session) -> str:
    """Who it is, without what it is doing."""
    parts = [f"pid {session.pid}", session.application, session.user and f"user {session.user}"]
    return ", ".join(filter(None, parts))


@check(
    "idle-in-transaction",
    Area.CONNECTION,
    about="No session sits idle in an open transaction, which holds locks and keeps dead rows.",
    source="Aperture's transactions are short",
    thresholds=Thresholds(Unit.SECONDS, warning=300, critical=3600),
)
def idle_in_transaction(context: Context) -> Outcome:
    need_other_sessions(context)
    sessions = context.rows("idle_in_transaction", IdleSession)
    findings = tuple(
        Finding(
            status,
            f"{_name(session)}, is idle in a transaction for "
            f"{format_seconds(session.idle_seconds)}",
            (f"SELECT pg_terminate_backend({session.pid});",),
            object=session.application,
        )
        for session in sessions
        if (status := context.judge(session.idle_seconds)) is not Status.OK
    )
    if not sessions:
        return Outcome("none", 0.0)
    longest = sessions[0].idle_seconds
    summary = f"{len(sessions)}, for up to {format_seconds(longest)}"
    return Outcome(summary, longest, findings)


@check(
    "blocked-queries",
    Area.CONNECTION,
    about="No query waits long for a lock; who holds it is named.",
    source="pg_locks.waitstart, pg_blocking_pids()",
    thresholds=Thresholds(Unit.SECONDS, warning=10, critical=60),
)
def blocked_queries(context: Context) -> Outcome:
    need_other_sessions(context)
    waiting = context.rows("blocked_queries", WaitingSession)
    if not waiting:
        return Outcome("none", 0.0)
    longest = max(session.waiting_seconds for session in waiting)
    summary = f"{len(waiting)}, for up to {format_seconds(longest)}"
    waiting_pids = {session.pid for session in waiting}
    blockers = {pid for session in waiting for pid in session.blocking_pids}
    # Those who wait themselves are held up by the others; in a ring nobody is first.
    roots = blockers - waiting_pids or blockers
    known = find_sessions(context.conn, list(roots))
    findings = tuple(
        finding
        for pid in sorted(roots)
        if (finding := _blocker(context, pid, known.get(pid), waiting)) is not None
    )
    return Outcome(summary, longest, findings)


def _blocker(
    context: Context, pid: int, session: Session | None, waiting: list[WaitingSession]
) -> Finding | None:
    """What one blocker does to the sessions behind it, those behind them included."""
    behind = {pid}
    grew = True
    while grew:
        more = {w.pid for w in waiting if behind & set(w.blocking_pids)} - behind
        behind |= more
        grew = bool(more)
    held = [w for w in waiting if w.pid in behind]
    longest = max(w.waiting_seconds for w in held)
    status = context.judge(longest)
    if status is Status.OK:
        return None
    who = str(session) if session else "a prepared transaction"
    keeps = f"keeps {plural(len(held), 'session')} waiting for {format_seconds(longest)}"
    advice = f"SELECT pg_terminate_backend({pid});" if pid else "SELECT gid FROM pg_prepared_xacts;"
    return Finding(
        status, f"{who}: {keeps}", (advice,), object=session.application if session else "prepared"
    )


@check(
    "long-transactions",
    Area.CONNECTION,
    about="No transaction runs on, prepared ones included; while it does, VACUUM can remove "
    "nothing newer.",
    source="the longest work of Aperture and of this tool, a backup, takes minutes",
    thresholds=Thresholds(Unit.SECONDS, warning=1800, critical=7200),
)
def long_transactions(context: Context) -> Outcome:
    need_other_sessions(context)
    findings = []
    ages = [0.0]
    for session in context.rows("long_transactions", Session):
        age = session.transaction_age_seconds or 0.0
        ages.append(age)
        if (status := context.judge(age)) is not Status.OK:
            reason = f"{_name(session)}, has a transaction open for {format_seconds(age)}"
            advice = (f"SELECT pg_terminate_backend({session.pid});",)
            findings.append(Finding(status, reason, advice, object=session.application))
    for prepared in context.rows("prepared_transactions", PreparedTransaction):
        ages.append(prepared.age_seconds)
        if (status := context.judge(prepared.age_seconds)) is not Status.OK:
            age_text = format_seconds(prepared.age_seconds)
            gid = prepared.gid.replace("'", "''")
            findings.append(
                Finding(
                    status,
                    f"the prepared transaction {prepared.gid} is open for {age_text}",
                    (f"ROLLBACK PREPARED '{gid}';",),
                    object=prepared.gid,
                )
            )
    longest = max(ages)
    return Outcome(format_seconds(longest) if longest else "none", longest, tuple(findings))
