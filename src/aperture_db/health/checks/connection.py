"""The connection: how the server is reached, and what other sessions do that blocks Aperture."""

from __future__ import annotations

import ipaddress
import statistics
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from aperture_db.extensions.report import ADVISED_MAJOR
from aperture_db.format import (
    format_percent,
    format_seconds,
    plural,
    quote_identifier,
    quote_literal,
)
from aperture_db.health.advice import change_at_start, is_managed, judge_version, reset
from aperture_db.health.check import CheckOutcome, Context, check, need_other_sessions
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit
from aperture_db.postgres.activity import Session, find_sessions

PINGS = 5
WHO_IS_CONNECTED = (
    "SELECT application_name, usename, state, count(*) FROM pg_stat_activity "
    "WHERE datid IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 4 DESC;"
)


@check(
    "reachable",
    Area.CONNECTION,
    about="The server accepts a connection.",
    source="the connection attempt itself",
)
def reachable(context: Context) -> CheckOutcome:
    seconds = context.shared.connect_seconds
    return CheckOutcome(f"connected in {format_seconds(seconds)}", seconds)


@check(
    "latency",
    Area.CONNECTION,
    about=f"The median of {PINGS} round trips.",
    source="a page of Aperture runs tens of queries, one after the other",
    thresholds=Thresholds(Unit.SECONDS, warning=0.1, critical=1.0),
)
def latency(context: Context) -> CheckOutcome:
    seconds = []
    for _ in range(PINGS):
        started = time.perf_counter()
        context.number("ping")
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    summary = f"{median * 1000:.1f} ms"
    status = context.judge(median)
    if status is Status.OK:
        return CheckOutcome(summary, median)
    reason = f"a round trip takes {summary}: the network or the server is slow"
    advice = ("run Aperture and its database on the same machine or network",)
    return CheckOutcome(summary, median, (Finding(status, reason, advice),))


@dataclass(frozen=True)
class Tls:
    """A row of health/tls."""

    is_offered: bool
    version: str | None


@check(
    "tls",
    Area.CONNECTION,
    about="The connection is encrypted or local.",
    source="the address connected to: a warning for public ones, info for others",
)
def tls(context: Context) -> CheckOutcome:
    row = context.row("tls", Tls)
    if context.conn.pgconn.ssl_in_use:
        version = row.version if row else None
        return CheckOutcome(version or "encrypted", version or "tls")
    address = context.conn.info.hostaddr
    if not address:
        return CheckOutcome("not needed, a local socket", "none")
    return judge_plain(address, is_offered=bool(row and row.is_offered))


def judge_plain(address: str, *, is_offered: bool) -> CheckOutcome:
    """Of a connection without TLS to an IP address; `is_offered`: the server speaks TLS."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    advice: tuple[str, ...] = ("add ?sslmode=require to the connection string",)
    if not is_offered:
        advice = ("install a server certificate and set ssl = on in postgresql.conf", *advice)
    if ip.is_loopback and not is_offered:
        return CheckOutcome("not needed, this machine", "none")
    if ip.is_loopback:
        reason = "the server offers TLS, but this connection does not use it"
        return CheckOutcome("not encrypted", "none", (Finding(Status.INFO, reason, advice),))
    # Not only private ones: 100.64.0.0/10 is shared by providers and overlay networks.
    if not ip.is_global:
        reason = f"the connection to {ip} is not encrypted: acceptable on a private network"
        return CheckOutcome("not encrypted", "none", (Finding(Status.INFO, reason, advice),))
    reason = f"password and data are sent to {ip} unencrypted"
    return CheckOutcome("not encrypted", "none", (Finding(Status.WARNING, reason, advice),))


@check(
    "server-version",
    Area.CONNECTION,
    about=f"PostgreSQL {ADVISED_MAJOR} or newer, with support from the PostgreSQL project; "
    "14 and 15 work.",
    source="Aperture's compose files; PostgreSQL's versioning policy: info half a year before the "
    "end of support, warning after it",
)
def server_version(context: Context) -> CheckOutcome:
    number = context.conn.info.server_version
    version = f"{number // 10000}.{number % 10000}"
    finding = judge_version(number // 10000, version, datetime.now(UTC).date())
    return CheckOutcome(f"PostgreSQL {version}", version, (finding,) if finding else ())


@dataclass(frozen=True)
class Writability:
    """A row of health/writable."""

    is_standby: bool
    is_read_only: bool
    source: str
    """The origin of default_transaction_read_only, in the words of pg_settings."""
    replayed_seconds_ago: float | None


@check(
    "writable",
    Area.CONNECTION,
    about="Aperture can write: the server is no standby, and no setting makes it read-only.",
    source="pg_is_in_recovery(), default_transaction_read_only",
)
def writable(context: Context) -> CheckOutcome:
    row = context.row("writable", Writability)
    assert row is not None
    if row.is_standby:
        ago = row.replayed_seconds_ago
        delay = f"; its newest transaction is {format_seconds(ago)} old" if ago is not None else ""
        finding = Finding(
            Status.INFO,
            f"a standby can only be read{delay}",
            ("connect Aperture to the primary server",),
        )
        return CheckOutcome("standby", "standby", (finding,))
    if row.is_read_only:
        finding = Finding(
            Status.WARNING,
            "default_transaction_read_only is on, so Aperture can't write; "
            "services set it when the disk is full",
            _allow_writing(context, row),
        )
        return CheckOutcome("read-only", "read-only", (finding,))
    return CheckOutcome("yes", "primary")


def _allow_writing(context: Context, row: Writability) -> tuple[str, ...]:
    setting = "default_transaction_read_only"
    if row.source == "client":
        return (f"remove {setting} from the connection string's options",)
    if statement := reset(context, setting):
        return (statement,)
    if is_managed(context):
        return (f"give it more disk space, then set {setting} = off, in the service's console",)
    return (f"ALTER SYSTEM SET {setting} = off;", "SELECT pg_reload_conf();")


@dataclass(frozen=True)
class Owner:
    """A row of health/owner."""

    is_used_by_superuser: bool
    name: str
    is_superuser: bool


@check(
    "superuser",
    Area.CONNECTION,
    about="The role of the connection is no superuser.",
    source="pg_roles.rolsuper: a superuser's mistakes, and the functions and triggers that others "
    "made, reach every database and the server's files",
)
def superuser(context: Context) -> CheckOutcome:
    owner = context.row("owner", Owner)
    assert owner is not None
    if not owner.is_used_by_superuser:
        return CheckOutcome("no", "no")
    role = context.identity().role
    reason = (
        f"connected as a superuser, {role}: a mistake, or a function or trigger that somebody else "
        "made, reaches every database and the server's files"
    )
    advice = f"connect as {owner.name}, the owner, for everyday work"
    if owner.is_superuser:
        advice = "let an ordinary role own the database and Aperture's tables, and connect as it"
    return CheckOutcome("yes", "yes", (Finding(Status.INFO, reason, (advice,), object=role),))


@dataclass(frozen=True)
class Usage:
    """A row of health/connections."""

    place: str
    used: int
    available: int

    @property
    def share(self) -> float:
        return self.used / self.available if self.available > 0 else 1.0


@check(
    "connections",
    Area.CONNECTION,
    about="Connections in use, of those that ordinary roles may have: on the server, and where "
    "the database, this role or the owner of Aperture's tables has a CONNECTION LIMIT.",
    source="Aperture's pool has 20 connections",
    thresholds=Thresholds(Unit.PERCENT, warning=80, critical=95),
)
def connections(context: Context) -> CheckOutcome:
    fullest = max(context.rows("connections", Usage), key=lambda usage: usage.share)
    percent = round(fullest.share * 100, 1)
    summary = f"{fullest.used} of {fullest.available}"
    status = context.judge(percent)
    if status is Status.OK:
        return CheckOutcome(summary, percent)
    reason = (
        f"{fullest.used} of the {fullest.available} connections of {fullest.place} "
        f"are in use ({format_percent(fullest.share)})"
        if fullest.available
        else f"{fullest.place} has CONNECTION LIMIT 0: only superusers can connect"
    )
    advice = (WHO_IS_CONNECTED, *_more_connections(context, fullest))
    return CheckOutcome(summary, percent, (Finding(status, reason, advice),))


def _more_connections(context: Context, usage: Usage) -> tuple[str, ...]:
    kind, _, name = usage.place.partition(" ")
    if kind in ("database", "role"):
        return (f"ALTER {kind.upper()} {quote_identifier(name)} CONNECTION LIMIT -1;",)
    return change_at_start(context, "max_connections", str(max(100, usage.available * 2)))


@dataclass(frozen=True)
class IdleSession(Session):
    idle_seconds: float


@dataclass(frozen=True)
class WaitingSession:
    """A row of health/blocked_queries."""

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
    """The session without its activity."""
    parts = [f"pid {session.pid}", session.application, session.user and f"user {session.user}"]
    return ", ".join(filter(None, parts))


@check(
    "idle-in-transaction",
    Area.CONNECTION,
    about="No session stays idle in an open transaction, which holds locks and keeps dead rows.",
    source="Aperture's transactions are short",
    thresholds=Thresholds(Unit.SECONDS, warning=300, critical=3600),
)
def idle_in_transaction(context: Context) -> CheckOutcome:
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
        return CheckOutcome("none", 0.0)
    longest = sessions[0].idle_seconds
    summary = f"{len(sessions)}, for up to {format_seconds(longest)}"
    return CheckOutcome(summary, longest, findings)


@check(
    "blocked-queries",
    Area.CONNECTION,
    about="No query waits long for a lock; the blocking session is named.",
    source="pg_locks.waitstart, pg_blocking_pids()",
    thresholds=Thresholds(Unit.SECONDS, warning=10, critical=60),
)
def blocked_queries(context: Context) -> CheckOutcome:
    need_other_sessions(context)
    waiting = context.rows("blocked_queries", WaitingSession)
    if not waiting:
        return CheckOutcome("none", 0.0)
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
    return CheckOutcome(summary, longest, findings)


def _blocker(
    context: Context, pid: int, session: Session | None, waiting: list[WaitingSession]
) -> Finding | None:
    """The finding about one blocker and all sessions that wait behind it."""
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
    about="No transaction stays open for long, prepared ones included; VACUUM can't remove rows "
    "that died after it began.",
    source="the longest work of Aperture and of this tool, a backup, takes minutes",
    thresholds=Thresholds(Unit.SECONDS, warning=1800, critical=7200),
)
def long_transactions(context: Context) -> CheckOutcome:
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
            gid, age_text = prepared.gid, format_seconds(prepared.age_seconds)
            reason = f"the prepared transaction {gid} is open for {age_text}"
            advice = (f"ROLLBACK PREPARED {quote_literal(gid)};",)
            findings.append(Finding(status, reason, advice, object=gid))
    longest = max(ages)
    return CheckOutcome(format_seconds(longest) if longest else "none", longest, tuple(findings))
