"""How the server is reached, and whether it can be worked with."""

from __future__ import annotations

import ipaddress
import statistics
import time
from dataclasses import dataclass

from aperture_db.extensions import ADVISED_MAJOR
from aperture_db.format import format_percent, format_seconds, quote_identifier
from aperture_db.health.changing import change_at_start, is_managed, reset
from aperture_db.health.check import Outcome, check
from aperture_db.health.context import Context
from aperture_db.health.report import Area, Finding, Status, Thresholds, Unit

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
def reachable(context: Context) -> Outcome:
    seconds = context.shared.connect_seconds
    return Outcome(f"connected in {format_seconds(seconds)}", seconds)


@check(
    "latency",
    Area.CONNECTION,
    about=f"The median of {PINGS} round trips.",
    source="a page of Aperture needs tens of queries, one after the other",
    thresholds=Thresholds(Unit.SECONDS, warning=0.1, critical=1.0),
)
def latency(context: Context) -> Outcome:
    seconds = []
    for _ in range(PINGS):
        started = time.perf_counter()
        context.number("ping")
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds)
    summary = f"{median * 1000:.1f} ms"
    status = context.judge(median)
    if status is Status.OK:
        return Outcome(summary, median)
    reason = f"a round trip takes {summary}: the network or the server is slow"
    advice = ("run Aperture and its database on the same machine or network",)
    return Outcome(summary, median, (Finding(status, reason, advice),))


@dataclass(frozen=True)
class Tls:
    """A row of health/tls.sql."""

    is_offered: bool
    version: str | None
    cipher: str | None


@check(
    "tls",
    Area.CONNECTION,
    about="The connection is encrypted, or does not leave the machine.",
    source="the address connected to: a warning for public ones, info for others",
)
def tls(context: Context) -> Outcome:
    row = context.row("tls", Tls)
    if context.conn.pgconn.ssl_in_use:
        version = row.version if row else None
        return Outcome(version or "encrypted", version or "tls")
    address = context.conn.info.hostaddr
    if not address:
        return Outcome("not needed, a local socket", "none")
    return judge_plain(address, is_offered=bool(row and row.is_offered))


def judge_plain(address: str, *, is_offered: bool) -> Outcome:
    """Of a connection without TLS to an IP address; `is_offered`: the server speaks TLS."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    advice: tuple[str, ...] = ("add ?sslmode=require to the connection string",)
    if not is_offered:
        advice = ("give the server a certificate and set ssl = on in postgresql.conf", *advice)
    if ip.is_loopback and not is_offered:
        return Outcome("not needed, this machine", "none")
    if ip.is_loopback:
        reason = "the server offers TLS and this connection does not use it"
        return Outcome("not encrypted", "none", (Finding(Status.INFO, reason, advice),))
    # Not only private ones: 100.64.0.0/10 is shared by providers and overlay networks.
    if not ip.is_global:
        reason = f"the connection to {ip} is not encrypted: fine as long as that network is yours"
        return Outcome("not encrypted", "none", (Finding(Status.INFO, reason, advice),))
    reason = f"password and data travel to {ip} as plain text"
    return Outcome("not encrypted", "none", (Finding(Status.WARNING, reason, advice),))


@check(
    "server-version",
    Area.CONNECTION,
    about=f"PostgreSQL {ADVISED_MAJOR} or newer; 14 and 15 work.",
    source="Aperture's compose files; servers older than 14 are refused",
)
def server_version(context: Context) -> Outcome:
    number = context.conn.info.server_version
    version = f"{number // 10000}.{number % 10000}"
    if number // 10000 >= ADVISED_MAJOR:
        return Outcome(f"PostgreSQL {version}", version)
    reason = f"PostgreSQL {version} works; {ADVISED_MAJOR} or newer is advised"
    image = f"pgvector/pgvector:pg{ADVISED_MAJOR}"
    advice = ("aperture-db backup", f"restore it into a server of the image {image}")
    return Outcome(f"PostgreSQL {version}", version, (Finding(Status.INFO, reason, advice),))


@dataclass(frozen=True)
class Writability:
    """A row of health/writable.sql."""

    is_standby: bool
    is_read_only: bool
    source: str
    """Where default_transaction_read_only was set, in the words of pg_settings."""
    replayed_seconds_ago: float | None


@check(
    "writable",
    Area.CONNECTION,
    about="Aperture can write here: no standby, not read-only by a setting.",
    source="pg_is_in_recovery(), default_transaction_read_only",
)
def writable(context: Context) -> Outcome:
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
        return Outcome("standby", "standby", (finding,))
    if row.is_read_only:
        finding = Finding(
            Status.WARNING,
            "default_transaction_read_only is on, so Aperture can't write; "
            "services set it when the disk is full",
            _allow_writing(context, row),
        )
        return Outcome("read-only", "read-only", (finding,))
    return Outcome("yes", "primary")


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
class Usage:
    """A row of health/connections.sql."""

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
    "the database or the role has a limit of its own.",
    source="Aperture's pool has 20 connections",
    thresholds=Thresholds(Unit.PERCENT, warning=80, critical=95),
)
def connections(context: Context) -> Outcome:
    fullest = max(context.rows("connections", Usage), key=lambda usage: usage.share)
    percent = round(fullest.share * 100, 1)
    summary = f"{fullest.used} of {fullest.available}"
    status = context.judge(percent)
    if status is Status.OK:
        return Outcome(summary, percent)
    reason = (
        f"{fullest.used} of the {fullest.available} connections of {fullest.place} "
        f"are in use ({format_percent(fullest.share)})"
    )
    advice = (WHO_IS_CONNECTED, *_more_connections(context, fullest))
    return Outcome(summary, percent, (Finding(status, reason, advice),))


def _more_connections(context: Context, usage: Usage) -> tuple[str, ...]:
    kind, _, name = usage.place.partition(" ")
    if kind in ("database", "role"):
        return (f"ALTER {kind.upper()} {quote_identifier(name)} CONNECTION LIMIT -1;",)
    return change_at_start(context, "max_connections", str(max(100, usage.available * 2)))
