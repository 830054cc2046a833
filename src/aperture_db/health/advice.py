"""What several checks advise: to change a setting, to delete rows with `clean`."""

from __future__ import annotations

from dataclasses import dataclass

from aperture_db.clean import Kind, KindReport
from aperture_db.clean.collect import collect
from aperture_db.extensions import collect as extensions
from aperture_db.format import quote_identifier
from aperture_db.health.check import Context, SkippedError
from aperture_db.health.report import Cause
from aperture_db.postgres.target import MANAGED

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


@dataclass(frozen=True)
class Setting:
    """A row of health/setting_source.sql."""

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
