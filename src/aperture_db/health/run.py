"""Selects the checks by the options of `health`, and runs each with its own time limit, so that
none can abort or delay the run."""

from __future__ import annotations

import difflib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
from psycopg import errors as pg
from psycopg.pq import TransactionStatus

from aperture_db.errors import ApertureDbError, ConnectError, UsageError
from aperture_db.format import parse_seconds
from aperture_db.health.check import (
    TIMEOUT_SECONDS,
    Check,
    CheckOutcome,
    CheckSelection,
    Context,
    NothingToCheckError,
    Shared,
    SkippedError,
)
from aperture_db.health.report import (
    Area,
    Cause,
    Finding,
    HealthReport,
    Result,
    Status,
    Unit,
    decide,
)
from aperture_db.postgres.activity import read_exclusive_locks
from aperture_db.postgres.connection import set_local, timeout_parameter
from aperture_db.postgres.driver_errors import translate_query_error
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

REACHABLE = "reachable"
LOCK_TIMEOUT_SECONDS = 2.0
# Beyond its timeout a check gets this long: then it is not the statement that hangs, but the
# network or a pooler, and the connection is cut.
GRACE_SECONDS = 5.0
# Checks share a transaction for this long, to spare round trips; then its locks on what was read
# are given up, since a migration may be waiting for one.
SHARED_SECONDS = 1.0

Connect = Callable[[], AbstractContextManager[Connection]]

FACTORS: Mapping[Unit, Mapping[str, float]] = {
    Unit.PERCENT: {"": 1, "%": 1},
    Unit.BYTES: {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40},
    Unit.COUNT: {"": 1},
}
"""Factors of the units behind a number; durations are parsed as everywhere."""
EXAMPLES: Mapping[Unit, str] = {
    Unit.SECONDS: "300, 5m or 2h",
    Unit.PERCENT: "80 or 80%",
    Unit.BYTES: "500MB or 2GB",
    Unit.COUNT: "1000",
}


def make_selection(
    checks: Iterable[Check],
    *,
    only: Iterable[str] = (),
    ignore: Iterable[str] = (),
    warn: Iterable[str] = (),
    crit: Iterable[str] = (),
    strict: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> CheckSelection:
    """`ignore` has id or id:object, `warn` and `crit` have id=value. Raises UsageError."""
    known = {check.id: check for check in checks}
    if timeout_seconds <= 0:
        raise UsageError(
            "--timeout must be greater than 0",
            why="--timeout 0 would wait forever, and no check may block the run",
            next_step=f"use --timeout {TIMEOUT_SECONDS:g}s",
            code="no_time",
        )
    ignored = [word.partition(":")[::2] for word in _split(ignore)]
    for check_id in [*_split(only), *(check_id for check_id, _ in ignored)]:
        _find(known, check_id)
    return CheckSelection(
        only=frozenset(_split(only)),
        ignored=frozenset(ignored),
        warnings=dict(_threshold(known, word, "--warn") for word in warn),
        criticals=dict(_threshold(known, word, "--crit") for word in crit),
        strict=strict,
        timeout_seconds=timeout_seconds,
    )


def _split(words: Iterable[str]) -> list[str]:
    """One id per word, or several with commas between them."""
    return [part for word in words for part in word.split(",") if part]


def _find(known: Mapping[str, Check], check_id: str) -> Check:
    if check_id in known:
        return known[check_id]
    close = difflib.get_close_matches(check_id, known, n=3)
    raise UsageError(
        f"there is no check {check_id}",
        why=f"did you mean {' or '.join(close)}?" if close else "that is not one of the ids",
        next_step=f"the ids are: {', '.join(known)}",
        code="unknown_check",
    )


def _threshold(known: Mapping[str, Check], word: str, option: str) -> tuple[str, float]:
    check_id, _, text = word.partition("=")
    if not check_id:
        raise UsageError(
            f"{option} {word} lacks the check",
            why=f"{option} takes ID=VALUE",
            next_step=f"{option} latency=300ms",
            code="bad_threshold",
        )
    check = _find(known, check_id)
    if check.thresholds is None:
        raise UsageError(
            f"{check_id} has no threshold",
            why="it does not measure a value",
            next_step=f"leave {option} {check_id} out, or use --ignore {check_id}",
            code="no_threshold",
        )
    unit = check.thresholds.unit
    try:
        return check_id, _parse_value(text, unit)
    except ValueError as error:
        raise UsageError(
            f"{text} is not a threshold of {check_id}"
            if text
            else f"{option} {check_id} lacks the value",
            why=f"its value is in {unit}, such as {EXAMPLES[unit]}",
            next_step=f"{option} {check_id}={EXAMPLES[unit].partition(' ')[0].rstrip(',')}",
            code="bad_threshold",
        ) from error


def _parse_value(text: str, unit: Unit) -> float:
    """Raises ValueError."""
    if unit is Unit.SECONDS:
        return parse_seconds(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*", text.lower())
    if not match or match[2] not in FACTORS[unit]:
        raise ValueError(text)
    return float(match[1]) * FACTORS[unit][match[2]]


class CheckSession:
    """A connection that is opened again when a check lost it, and the transaction on it."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._stack = ExitStack()
        self._conn: Connection | None = None
        self._began = 0.0

    def open(self) -> Connection:
        """The live connection. Raises ConnectError."""
        if self._conn is None or self._conn.closed:
            self.close()
            self._conn = self._stack.enter_context(self._connect())
        return self._conn

    def begin(self, timeout_seconds: float) -> None:
        """Have a transaction with these limits open, the last check's where it will do."""
        conn = self.open()
        status = conn.info.transaction_status
        is_young = time.monotonic() - self._began < SHARED_SECONDS
        if status is TransactionStatus.INTRANS and is_young:
            return
        if status is not TransactionStatus.IDLE:
            # A check that was skipped for an error leaves a failed transaction.
            conn.rollback()
        conn.begin()
        set_local(
            conn,
            statement_timeout=timeout_parameter(timeout_seconds),
            lock_timeout=timeout_parameter(min(LOCK_TIMEOUT_SECONDS, timeout_seconds / 2)),
        )
        self._began = time.monotonic()

    def abandon(self) -> None:
        """End the transaction that a check failed in."""
        with suppress(psycopg.Error):
            if self._conn is not None:
                self._conn.rollback()

    def close(self) -> None:
        self._conn = None
        with suppress(ApertureDbError, psycopg.Error):
            self._stack.close()


def run_checks(
    connect: Connect, target: Target, checks: Sequence[Check], selection: CheckSelection
) -> HealthReport:
    """Run the selected checks and put the report together. Writes nothing.

    `connect` opens a read-only connection and is called again when one was lost. That the server
    can't be reached is a result of the check `reachable`; the others are left out then.
    """
    session = CheckSession(connect)
    started = time.monotonic()
    try:
        session.open()
        shared = Shared(connect_seconds=time.monotonic() - started)
        chosen = [check for check in checks if selection.includes(check)]
        results, lost = _run_all(session, target, chosen, selection, shared)
    except ConnectError as error:
        results, lost = [], error
    finally:
        session.close()
    if lost is not None:
        others = [result for result in results if result.id != REACHABLE]
        results = [unreachable(lost, time.monotonic() - started), *others]
    return make_report(target, tuple(results), lost, strict=selection.strict)


def make_report(
    target: Target, results: tuple[Result, ...], error: ConnectError | None, *, strict: bool
) -> HealthReport:
    return HealthReport(
        server=f"{target.host or 'local'}:{target.port}",
        database=target.database,
        checked_at=datetime.now(UTC),
        verdict=decide(results, strict=strict),
        counts={status: sum(r.status is status for r in results) for status in Status},
        checks=results,
        error=error,
        is_strict=strict,
    )


def unreachable(error: ConnectError, seconds: float) -> Result:
    """The result of the check `reachable` where there is no connection."""
    finding = Finding(Status.CRITICAL, f"{error.what}: {error.why}", (error.next_step,))
    return Result(
        REACHABLE, Area.CONNECTION, Status.CRITICAL, "no connection", None, None,
        finding.reason, finding.advice, (finding,), None, seconds,
    )  # fmt: skip


def _run_all(
    session: CheckSession,
    target: Target,
    checks: Sequence[Check],
    selection: CheckSelection,
    shared: Shared,
) -> tuple[list[Result], ConnectError | None]:
    """The results, and the error if the connection was lost and could not be opened again."""
    results: list[Result] = []
    lost: ConnectError | None = None
    for check in checks:
        started = time.monotonic()
        try:
            conn = session.open() if lost is None else None
        except ConnectError as error:
            lost, conn = error, None
        if conn is None:
            why = lost.why if lost else ""
            results.append(_skipped(check, Cause.UNREACHABLE, f"the connection was lost: {why}"))
            continue
        context = Context(
            conn, target, selection.thresholds(check), shared,
            timeout_seconds=selection.timeout_seconds,
        )  # fmt: skip
        result = run_check(session, check, context, selection)
        results.append(replace(result, duration_seconds=time.monotonic() - started))
    return results, lost


def run_check(
    session: CheckSession, check: Check, context: Context, selection: CheckSelection
) -> Result:
    """One check, in the session's transaction."""
    timeout = selection.timeout_seconds
    try:
        with cut_off_after(context.conn, timeout + GRACE_SECONDS) as is_cut_off:
            session.begin(timeout)
            outcome = check.look(context)
    except SkippedError as skipped:
        return _skipped(check, skipped.cause, skipped.reason, skipped.advice)
    except NothingToCheckError as nothing:
        return _judged(check, context, CheckOutcome(str(nothing)), selection)
    except psycopg.Error as error:
        session.abandon()
        return _failed_statement(check, context, error, timeout, is_cut_off=is_cut_off.is_set())
    except ApertureDbError as error:
        return _skipped(check, Cause.FAILED, f"{error.what}: {error.why}", (error.next_step,))
    except Exception as error:
        session.abandon()
        reason = context.target.redact(f"{type(error).__name__}: {error}")
        advice = (f"aperture-db health --only {check.id} -vv",)
        return _skipped(check, Cause.FAILED, f"the check itself failed: {reason}", advice)
    return _judged(check, context, outcome, selection)


@contextmanager
def cut_off_after(conn: Connection, seconds: float) -> Iterator[threading.Event]:
    """Shut the connection's socket down when the block takes longer, which ends any wait for it.

    Yields what is set when that happened.
    """
    happened = threading.Event()

    def cut() -> None:
        with suppress(OSError, psycopg.Error):
            happened.set()
            with socket.socket(fileno=os.dup(conn.fileno())) as duplicate:
                duplicate.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield happened
    finally:
        timer.cancel()


def _judged(
    check: Check, context: Context, outcome: CheckOutcome, selection: CheckSelection
) -> Result:
    """The result of a check without the ignored findings."""
    kept = [f for f in outcome.findings if not selection.ignores(check.id, f.object)]
    kept.sort(key=lambda finding: -finding.status.severity)
    ignored = len(outcome.findings) - len(kept)
    advice = dict.fromkeys(step for finding in kept for step in finding.advice)
    return Result(
        id=check.id,
        area=check.area,
        status=kept[0].status if kept else Status.OK,
        summary=outcome.summary + (f" ({ignored} ignored)" if ignored else ""),
        value=outcome.value,
        thresholds=context.thresholds,
        reason=kept[0].reason if kept else None,
        advice=tuple(advice),
        findings=tuple(kept),
        skipped_because=None,
        duration_seconds=0.0,
    )


def _skipped(check: Check, cause: Cause, reason: str, advice: tuple[str, ...] = ()) -> Result:
    summary = "not known" if cause.is_trouble else "skipped"
    return Result(
        check.id, check.area, Status.SKIPPED, summary, None, check.thresholds, reason, advice,
        (Finding(Status.SKIPPED, reason, advice),), cause, 0.0,
    )  # fmt: skip


def _failed_statement(
    check: Check, context: Context, error: psycopg.Error, timeout: float, *, is_cut_off: bool
) -> Result:
    message = context.target.redact(error.diag.message_primary or str(error).strip())
    if is_cut_off:
        seconds = f"{timeout + GRACE_SECONDS:g}"
        reason = f"no answer within {seconds} s, so the connection was cut"
        return _skipped(check, Cause.TIMEOUT, reason, ("check the network and the pooler",))
    match error:
        case pg.InsufficientPrivilege():
            advice = translate_query_error(error, context.target).next_step
            return _skipped(check, Cause.PRIVILEGE, message, (advice.rpartition("run: ")[2],))
        case pg.LockNotAvailable():
            return _locked(check, context)
        case pg.QueryCanceled():
            advice = f"aperture-db health --only {check.id} --timeout {timeout * 12:g}"
            return _skipped(check, Cause.TIMEOUT, f"no result within {timeout:g} s", (advice,))
        case _:
            return _skipped(check, Cause.FAILED, message)


def _locked(check: Check, context: Context) -> Result:
    """Name the holder of the lock: it is still held, since the check timed out waiting for it."""
    with suppress(psycopg.Error), context.conn.transaction():
        for lock in read_exclusive_locks(context.conn):
            if lock.is_held and lock.session:
                reason = f"a table is locked by {lock.session}"
                return _skipped(
                    check, Cause.LOCKED, reason,
                    (f"SELECT pg_terminate_backend({lock.session.pid});",),
                )  # fmt: skip
    return _skipped(check, Cause.LOCKED, "a table is locked")
