"""Advice of several checks: to change a setting, to delete rows with `clean`, to upgrade."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from aperture_db.clean import Kind, KindReport
from aperture_db.clean.collect import collect
from aperture_db.extensions import collect as extensions
from aperture_db.extensions.report import ADVISED_MAJOR
from aperture_db.format import quote_identifier
from aperture_db.health.check import Context, SkippedError
from aperture_db.health.report import Cause, Finding, Status
from aperture_db.postgres import MANAGED

REPORT_UPSTREAM = (
    "report it to the developers of Aperture: changing it yourself would make the schema differ "
    "from the one its next migrations expect"
)
# PostgreSQL's manual advises a quarter of the memory, which the server does not know; this
# fits every machine that runs such a database.
ADVISED_SHARED_BUFFERS = 512 << 20
QUARTER_OF_MEMORY = (
    "set shared_buffers to a quarter of the machine's memory, where it is less, and restart the "
    "server; or give the machine more memory"
)

# From https://www.postgresql.org/support/versioning/.
SUPPORT_ENDS = {
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
SUPPORT_ENDS_SOON = timedelta(days=183)


@dataclass(frozen=True)
class Setting:
    """A row of health/setting_source."""

    source: str
    """In the words of pg_settings."""


def is_managed(context: Context) -> bool:
    """Tell if the server belongs to a managed service, where nobody may ALTER SYSTEM."""
    if context.shared.place is None:
        report = extensions.collect(context.conn, context.target.host)
        context.shared.place = report.server.place
    return context.shared.place in MANAGED


def change(context: Context, name: str, value: str) -> tuple[str, ...]:
    """The statements that set `name`, which takes effect without a restart, to a literal."""
    holder = _holder(context, name)
    if holder is None and is_managed(context):
        holder = f"DATABASE {quote_identifier(context.identity().database)}"
    if holder is not None:
        return (f"ALTER {holder} SET {name} = {value};",)
    return (f"ALTER SYSTEM SET {name} = {value};", "SELECT pg_reload_conf();")


def reset(context: Context, name: str) -> str | None:
    """The statement that drops the value made for a database or a role; None where none was."""
    holder = _holder(context, name)
    return f"ALTER {holder} RESET {name};" if holder else None


def change_at_start(context: Context, name: str, value: str) -> tuple[str, ...]:
    """The same for a setting that only a restart makes take effect."""
    if is_managed(context):
        return (f"set {name} = {value} in the service's console, or choose a larger instance",)
    return (
        f"ALTER SYSTEM SET {name} = {value};",
        f"restart the server, which makes {name} take effect",
    )


def enlarge_shared_buffers(context: Context, present_bytes: int) -> tuple[str, ...]:
    """More of them, as far as any machine has the memory: with too many the server won't start."""
    if present_bytes >= ADVISED_SHARED_BUFFERS and not is_managed(context):
        return (QUARTER_OF_MEMORY,)
    wanted = max(ADVISED_SHARED_BUFFERS, present_bytes * 2)
    return change_at_start(context, "shared_buffers", megabytes(wanted))


def megabytes(size_bytes: int) -> str:
    """As a literal of SQL."""
    return f"'{size_bytes >> 20}MB'"


def _holder(context: Context, name: str) -> str | None:
    """The database or role for which the value was made, which goes before the server's own."""
    row = context.row("setting_source", Setting, {"name": name})
    identity = context.identity()
    database, role = quote_identifier(identity.database), quote_identifier(identity.role)
    holders = {
        "database": f"DATABASE {database}",
        "user": f"ROLE {role}",
        "database user": f"ROLE {role} IN DATABASE {database}",
    }
    return holders.get(row.source) if row else None


def measure_cleanable(context: Context, kind: Kind) -> KindReport:
    """The rows that `clean` would delete of a kind. Raises SkippedError without the privileges."""
    report = collect(context.conn, [kind], lock_timeout=None).kinds[0]
    if report.grant:
        raise SkippedError(Cause.PRIVILEGE, str(report.unknown), (report.grant,))
    return report


def judge_version(major: int, version: str, today: date) -> Finding | None:
    """Judge a version by its support from the PostgreSQL project and by Aperture's advice."""
    if major > max(SUPPORT_ENDS):
        return Finding(
            Status.INFO,
            f"PostgreSQL {version} is newer than the versions that aperture-db was tested with",
            ("update aperture-db",),
        )
    end = SUPPORT_ENDS.get(major, date.min)
    if today > end:
        status = Status.WARNING
        reason = f"PostgreSQL {version} gets no more security fixes: support for {major} ended"
        reason += f" on {end}" if major in SUPPORT_ENDS else ""
    elif today > end - SUPPORT_ENDS_SOON:
        status = Status.INFO
        reason = f"support for PostgreSQL {major} ends on {end}: no more security fixes after that"
    elif major < ADVISED_MAJOR:
        status = Status.INFO
        reason = f"PostgreSQL {version} works; {ADVISED_MAJOR} or newer is advised"
    else:
        return None
    image = f"pgvector/pgvector:pg{next_major(today)}"
    return Finding(
        status, reason, ("aperture-db backup", f"restore it into a server of the image {image}")
    )


def next_major(today: date) -> int:
    """The oldest advised version whose support does not end soon, or the newest known."""
    supported = (
        major
        for major, end in SUPPORT_ENDS.items()
        if major >= ADVISED_MAJOR and today <= end - SUPPORT_ENDS_SOON
    )
    return next(supported, max(SUPPORT_ENDS))
