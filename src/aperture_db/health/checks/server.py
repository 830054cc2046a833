"""The server beyond this database: replication, WAL archiving, and its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aperture_db.format import (
    format_bytes,
    format_percent,
    format_seconds,
    list_some,
    plural,
    quote_identifier,
)
from aperture_db.health.advice import is_managed
from aperture_db.health.check import (
    CheckOutcome,
    Context,
    NothingToCheckError,
    SkippedError,
    check,
    need_other_sessions,
)
from aperture_db.health.report import Area, Cause, Finding, Status, Thresholds, Unit

RELOAD = "SELECT pg_reload_conf();"
# Of max_slot_wal_keep_size, or wal_keep_size if that is more.
ALMOST_LOST = 0.8
# Aperture's busiest job, a first synchronization, makes some 100,000.
MANY_TRANSACTIONS = 1_000_000
# As much as max_wal_size lets a server keep by default: more than a burst of writing.
FAR_BEHIND_BYTES = 1 << 30
FILE_GRANTS = (
    "GRANT SELECT ON pg_file_settings, pg_hba_file_rules TO {};",
    "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings(), pg_hba_file_rules() TO {};",
)


def _hidden(
    context: Context, what: str, grants: Iterable[str] = ("GRANT pg_monitor TO {};",)
) -> SkippedError:
    role = context.identity().role
    reason = f"role {role} {what}; a superuser can let it"
    advice = tuple(grant.format(quote_identifier(role)) for grant in grants)
    return SkippedError(Cause.PRIVILEGE, reason, advice)


@dataclass(frozen=True)
class Slot:
    """A row of health/replication_slots."""

    name: str
    kind: str
    """physical or logical."""
    is_active: bool
    wal_status: str | None
    """reserved, extended, unreserved or lost; None for one that was never used."""
    held_bytes: int
    """Of WAL."""
    left_bytes: int | None
    """What can be written until the slot is lost; None without a limit."""
    held_transactions: int
    """Dead rows of so many transactions can't be removed."""
    inactive_seconds: float | None
    """Known from PostgreSQL 17 on."""

    @property
    def consumer(self) -> str:
        return "standby" if self.kind == "physical" else "subscriber"

    @property
    def used_share(self) -> float:
        """Of the limit."""
        if self.left_bytes is None:
            return 0.0
        return self.held_bytes / max(self.held_bytes + self.left_bytes, 1)

    @property
    def drop(self) -> str:
        name = self.name.replace("'", "''")
        return f"SELECT pg_drop_replication_slot('{name}');"


@check(
    "replication-slots",
    Area.REPLICATION,
    about="The WAL that unused replication slots keep on disk; for a slot in use, the critical "
    "threshold is a warning. A slot that is lost, or will be at the next checkpoint, is critical. "
    f"{ALMOST_LOST:.0%} of max_slot_wal_keep_size, and dead rows of {MANY_TRANSACTIONS:,} "
    "transactions that the slot keeps from being removed, are warnings.",
    source="pg_replication_slots; without max_slot_wal_keep_size the WAL fills the disk",
    thresholds=Thresholds(Unit.BYTES, warning=100 << 20, critical=10 << 30),
)
def replication_slots(context: Context) -> CheckOutcome:
    slots = context.rows("replication_slots", Slot)
    unused = [slot for slot in slots if not slot.is_active]
    held = max((slot.held_bytes for slot in unused), default=0)
    findings = tuple(finding for slot in slots if (finding := _judge_slot(context, slot)))
    summary = f"{len(slots)} in use" if slots else "none"
    if unused:
        of = f" of {len(slots)}" if len(unused) < len(slots) else ""
        summary = f"{len(unused)}{of} not in use, {format_bytes(held)} of WAL"
    return CheckOutcome(summary, held, findings)


def _judge_slot(context: Context, slot: Slot) -> Finding | None:
    title = f"the {slot.kind} replication slot {slot.name}"
    if slot.wal_status == "lost":
        reason = f"{title} is lost: WAL that its {slot.consumer} needs to continue was removed"
        steps = (slot.drop, f"set up its {slot.consumer} again, if there is one")
        return Finding(Status.CRITICAL, reason, steps, object=slot.name)
    status = context.judge(slot.held_bytes)
    parts = [f"{title} keeps {format_bytes(slot.held_bytes)} of WAL"]
    if slot.is_active:
        status = Status.WARNING if status is Status.CRITICAL else Status.OK
    else:
        ago = slot.inactive_seconds
        parts.append(f"nobody has used it {f'for {format_seconds(ago)}' if ago else 'of late'}")
    if slot.used_share >= ALMOST_LOST:
        status = status.at_least(Status.WARNING)
        parts.append(f"that is {format_percent(slot.used_share)} of max_slot_wal_keep_size")
    if slot.wal_status == "unreserved":
        status = Status.CRITICAL
        parts.append("the next checkpoint may remove it and make the slot useless")
    if slot.held_transactions >= MANY_TRANSACTIONS:
        status = status.at_least(Status.WARNING)
        parts.append(f"dead rows of {slot.held_transactions:,} transactions can't be removed")
    if slot.is_active and status is Status.OK:
        return None
    advice: tuple[str, ...] = (f"check the log, network and disk of its {slot.consumer}",)
    if not slot.is_active:
        status = status.at_least(Status.INFO)
        advice = (f"start its {slot.consumer}; if that is gone for good, drop the slot:", slot.drop)
    return Finding(status, "; ".join(parts), advice, object=slot.name)


@dataclass(frozen=True)
class Replica:
    """A row of health/replicas."""

    name: str
    state: str | None
    lag_seconds: float | None
    """None when it is up to date, or only receives."""
    behind_bytes: int | None


@dataclass(frozen=True)
class SynchronousCommit:
    """A row of health/synchronous_standbys."""

    names: str
    """synchronous_standby_names."""
    connected: int
    """Those that can confirm a commit."""

    @property
    def needed(self) -> int:
        if not self.names.strip():
            return 0
        number = re.match(r"\s*(?:FIRST\s+|ANY\s+)?(\d+)\s*\(", self.names, re.IGNORECASE)
        return int(number[1]) if number else 1


@dataclass(frozen=True)
class Replay:
    """A row of health/standby_replay."""

    is_paused: bool
    is_connected: bool
    """A WAL receiver runs."""
    has_archive: bool
    """restore_command is set."""
    has_replayed_all: bool
    """All WAL that was received."""
    age_seconds: float | None
    """Of the newest transaction that was replayed, without recovery_min_apply_delay."""


@check(
    "replica-lag",
    Area.REPLICATION,
    about="How far connected standbys and subscribers are behind, and on a standby its own replay. "
    f"{format_bytes(FAR_BEHIND_BYTES)} of WAL is a warning. Fewer standbys than "
    "synchronous_standby_names needs are critical: commits wait for them.",
    source="pg_stat_replication; what a standby lacks is missing in its answers, and lost in a "
    "failover",
    thresholds=Thresholds(Unit.SECONDS, warning=300, critical=3600),
)
def replica_lag(context: Context) -> CheckOutcome:
    replicas = context.rows("replicas", Replica)
    if any(replica.state is None for replica in replicas):
        need_other_sessions(context)
    findings = [finding for each in replicas if (finding := _judge_replica(context, each))]
    lags = [replica.lag_seconds or 0.0 for replica in replicas]
    summary = plural(len(replicas), "replica") if replicas else "no replicas"
    if context.identity().is_standby:
        replay = context.row("standby_replay", Replay)
        assert replay is not None
        own = 0.0 if replay.is_connected and replay.has_replayed_all else replay.age_seconds or 0.0
        lags.append(own)
        findings += _judge_replay(context, replay, own)
        summary = f"a standby, {summary}" if replicas else "a standby"
    else:
        findings += _judge_synchronous(context)
    worst = max(lags, default=0.0)
    behind = f", up to {format_seconds(worst)} behind" if lags else ""
    return CheckOutcome(summary + behind, worst, tuple(findings))


def _judge_replica(context: Context, replica: Replica) -> Finding | None:
    status = context.judge(replica.lag_seconds or 0.0)
    behind = replica.behind_bytes or 0
    if behind >= FAR_BEHIND_BYTES:
        status = status.at_least(Status.WARNING)
    if status is Status.OK:
        return None
    lag = f"{format_seconds(replica.lag_seconds)} and " if replica.lag_seconds else ""
    reason = f"replica {replica.name} is {lag}{format_bytes(behind)} of WAL behind"
    advice = ("check the replica's log, its network and disk, and long queries on it",)
    return Finding(status, reason, advice, object=replica.name)


def _judge_replay(context: Context, replay: Replay, own_seconds: float) -> list[Finding]:
    age = f", {format_seconds(own_seconds)} behind" if own_seconds else ""
    findings = []
    if replay.is_paused:
        reason = f"this standby's replay is paused{age}"
        findings.append(
            Finding(Status.WARNING, reason, ("SELECT pg_wal_replay_resume();",), object="standby")
        )
    if not replay.is_connected:
        reason = f"this standby is not connected to its primary{age}"
        reason += "; it replays what restore_command fetches" if replay.has_archive else ""
        status = Status.INFO if replay.has_archive else Status.WARNING
        advice = "start the primary, or correct primary_conninfo; the server's log has the error"
        findings.append(Finding(status, reason, (advice,), object="standby"))
    # With nothing but an archive, an old transaction may as well mean a primary at rest.
    can_tell = replay.is_connected or not replay.has_archive
    if can_tell and (status := context.judge(own_seconds)) is not Status.OK:
        reason = f"this standby's newest transaction is {format_seconds(own_seconds)} old"
        advice = "check the standby's log, its network and disk, and long queries on it"
        findings.append(Finding(status, reason, (advice,), object="standby"))
    return findings


def _judge_synchronous(context: Context) -> list[Finding]:
    row = context.row("synchronous_standbys", SynchronousCommit)
    if row is None or not row.needed:
        return []
    need_other_sessions(context)
    if row.connected >= row.needed:
        return []
    reason = (
        f"synchronous_standby_names needs {plural(row.needed, 'standby', 'standbys')} and "
        f"{row.connected} can confirm: commits wait, and Aperture with them"
    )
    advice: tuple[str, ...] = ("start the standbys in the service's console",)
    if not is_managed(context):
        without = "ALTER SYSTEM SET synchronous_standby_names = '';"
        advice = ("start the standbys; or, to go on without them:", without, RELOAD)
    return [Finding(Status.CRITICAL, reason, advice, object="synchronous_standby_names")]


@dataclass(frozen=True)
class Archiver:
    """A row of health/archiver."""

    mode: str
    is_standby: bool
    has_target: bool
    """archive_command or archive_library is set."""
    is_failing: bool
    """The last attempt failed."""
    failures: int
    file_name: str | None
    """That it can't archive."""
    archived_seconds_ago: float | None
    may_count: bool


@check(
    "archiving",
    Area.REPLICATION,
    about="The WAL segments that wait to be archived, with archive_mode on. A failed last attempt "
    "and a missing archive_command are warnings at least.",
    source="pg_stat_archiver, pg_ls_archive_statusdir(); 64 segments are the 1 GB of max_wal_size, "
    "and no point in time after the last one can be recovered",
    thresholds=Thresholds(Unit.COUNT, warning=64, critical=640),
)
def archiving(context: Context) -> CheckOutcome:
    row = context.row("archiver", Archiver)
    assert row is not None
    if row.mode == "off" or (row.is_standby and row.mode != "always"):
        return CheckOutcome("off" if row.mode == "off" else "off on a standby", 0)
    waiting = context.number("archive_backlog") if row.may_count else None
    findings = _judge_archiver(context, row, waiting)
    if waiting is None and not findings:
        raise _hidden(context, "can't see what waits to be archived")
    summary = "failing" if findings and waiting is None else f"{waiting:,} waiting"
    return CheckOutcome(summary, waiting, findings)


def _judge_archiver(context: Context, row: Archiver, waiting: int | None) -> tuple[Finding, ...]:
    status = Status.OK if waiting is None else context.judge(waiting)
    count = "" if waiting is None else f"; {plural(waiting, 'segment')} of WAL waiting"
    if not row.has_target:
        reason = f"archive_mode is {row.mode} without an archive_command: the server keeps all WAL"
        advice = ("set archive_command, or archive_mode = off and restart the server",)
    elif row.is_failing:
        ago = row.archived_seconds_ago
        last = "never succeeded" if ago is None else f"last succeeded {format_seconds(ago)} ago"
        reason = f"archiving {row.file_name} failed {row.failures:,} times, and {last}"
        advice = (
            "free space in the archive or correct archive_command: the server's log has its error",
        )
    elif status is not Status.OK:
        reason = "archiving is slower than the server writes, or stuck"
        advice = ("look what archive_command waits for: the archive's network and disk",)
    else:
        return ()
    status = status.at_least(Status.WARNING)
    return (Finding(status, reason + count, advice, object="archiver"),)


@dataclass(frozen=True)
class PendingSetting:
    name: str


@dataclass(frozen=True)
class FileError:
    """A row of health/settings_file_errors and its like."""

    file: str
    line: int | None
    name: str | None
    """The setting."""
    error: str


@check(
    "pending-restart",
    Area.SETTINGS,
    about="No changed setting waits for a restart of the server. The value is their number.",
    source="pg_settings.pending_restart",
)
def pending_restart(context: Context) -> CheckOutcome:
    if context.number("may_read_files"):
        # Without that, a change that was not even reloaded is not known.
        context.rows("settings_file_errors", FileError)
    names = [row.name for row in context.rows("pending_restart", PendingSetting)]
    if not names and not context.number("may_see_settings"):
        raise _hidden(context, "does not see all settings")
    how = "in the service's console" if names and is_managed(context) else "when nobody works"
    findings = tuple(
        Finding(
            Status.WARNING,
            f"{name} was changed, and takes effect only when the server is restarted",
            (f"restart the server {how}",),
            object=name,
        )
        for name in names
    )
    return CheckOutcome(list_some(names, 3) if names else "none", len(names), findings)


@check(
    "configuration-files",
    Area.SETTINGS,
    about="postgresql.conf, postgresql.auto.conf and pg_hba.conf have no errors: with one "
    "the server does not start again, and ignores changes until then.",
    source="pg_file_settings, pg_hba_file_rules",
)
def configuration_files(context: Context) -> CheckOutcome:
    if not context.number("may_read_files"):
        if is_managed(context):
            raise NothingToCheckError("the service's own")
        raise _hidden(context, "may not read the errors of the server's files", FILE_GRANTS)
    errors = context.rows("settings_file_errors", FileError)
    # Asked afterwards: reading the file tells this session what only waits for a restart, and that
    # has an error there, too.
    waiting = {row.name for row in context.rows("pending_restart", PendingSetting)}
    errors = [row for row in errors if row.name not in waiting]
    errors += context.rows("hba_file_errors", FileError)
    findings = tuple(
        Finding(
            Status.CRITICAL,
            f"{row.file}, line {row.line}: {f'{row.name}: ' if row.name else ''}{row.error}",
            (f"correct line {row.line} of {row.file}, and then:", RELOAD),
            object=row.name or row.file,
        )
        for row in errors
    )
    summary = plural(len(errors), "error") if errors else "no errors"
    return CheckOutcome(summary, len(errors), findings)
