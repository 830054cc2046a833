"""The one place where driver errors become the tool's own.

Errors while connecting are told apart by their text (connect_failures.py), errors of statements
by SQLSTATE. Texts of libpq and of the server never reach the user without `Target.redact`.
"""

from __future__ import annotations

import re

import psycopg
from psycopg import errors as pg

from aperture_db import sql
from aperture_db.errors import ApertureDbError, BusyError, ConnectError, UsageError
from aperture_db.format import as_administrator, quote_identifier, shell_command
from aperture_db.postgres import fitting_shm_size
from aperture_db.postgres.connect_failures import (
    BAD_KEYWORD,
    BAD_SETTING,
    COMPOSE_HINT,
    COMPOSE_HOST,
    CONNECT_FAILURES,
    LOOPBACK_HINT,
    LOOPBACK_HOSTS,
    PGPASS_FILE,
    ConnectFailure,
    first_sentence,
    pg_hba_line,
    read_refusals,
)
from aperture_db.postgres.refusals import ask, grant_for, restate
from aperture_db.postgres.session import Connection
from aperture_db.postgres.target import Target

TLS_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# A later attempt fails in the same way: wrong authorization, catalog or statement.
FINAL_CLASSES = ("0A", "22", "28", "3D", "42")

# A table, column or function is missing, or has another type than the migrations give it.
OTHER_STRUCTURE = (
    pg.DatatypeMismatch, pg.UndefinedColumn, pg.UndefinedFunction, pg.UndefinedTable,
)  # fmt: skip

# The operating system's words for a peer that did not acknowledge in time.
TIMED_OUT = re.compile("timed out|[Nn]o route to host|unreachable")


LOCKS_SETTING = "max_locks_per_transaction"
RIGHT_ENCODING = (
    "use a database with the encoding UTF8, or correct what is no text where it is from"
)


def translate_connect_error(
    error: Exception, target: Target, timeout_seconds: int
) -> ConnectError | UsageError:
    """The cause of a failed connection attempt, in PostgreSQL's terms.

    Where its text is not known, as that of a server that speaks another language, the server is
    asked once more. A failure that is not known to be final may be retried.
    """
    message = str(error)
    what = f"can't connect to {target} (from {target.source})"
    if isinstance(error, (psycopg.ProgrammingError, UnicodeError)) or BAD_SETTING.search(message):
        found = BAD_KEYWORD.search(message)
        named = next(filter(None, found.groups())) if found else ""
        source = target.source_of(named)
        return UsageError(
            what,
            why=target.redact(first_sentence(message)),
            next_step=f"correct {named or 'that setting'} in {source}",
            code="bad_connection_string",
        )
    usual = [
        failure
        for failure in CONNECT_FAILURES
        if failure.sslmode in (None, target.value_of("sslmode"))
    ]
    for failure in usual:
        if re.search(failure.pattern, message):
            return _explained(failure, what, message, target, timeout_seconds)
    refusals = read_refusals(target.params, timeout_seconds)
    for failure in usual:
        for refusal in refusals:
            if refusal.state in failure.states and failure.routine in ("", refusal.routine):
                return _explained(failure, what, message, target, timeout_seconds)
    return ConnectError(
        what,
        why=target.redact(first_sentence(message)),
        next_step=f"check {target.source}, and read the server's log",
        transient=not any(refusal.state.startswith(FINAL_CLASSES) for refusal in refusals),
    )


def _explained(
    failure: ConnectFailure, what: str, message: str, target: Target, timeout_seconds: int
) -> ConnectError:
    keyword = failure.keyword
    if keyword == "sslrootcert":
        # The message names the file.
        keyword = next((name for name in TLS_FILES if _is_named(target, name, message)), keyword)
    pgpass = PGPASS_FILE.search(message)
    parts = {
        "user": target.user,
        "host": target.host or "the local socket",
        "probe": shell_command("pg_isready", "-h", target.host, "-p", target.port),
        "port": target.port,
        "database": target.database,
        "source": pgpass[1] if pgpass else target.source_of(keyword),
        "value": target.value_of(keyword),
        "timeout": timeout_seconds,
        "reason": target.redact(first_sentence(message)),
        "quoted_host": shell_command(target.host),
        "quoted_user": quote_identifier(target.user),
        "quoted_database": quote_identifier(target.database),
        "hba": pg_hba_line(target.database, target.user, target.value_of("sslmode"), message),
    }
    advice = failure.next_step
    if failure.code == "host_not_resolved" and target.host == COMPOSE_HOST:
        advice = COMPOSE_HINT
    elif failure.code == "connection_refused" and target.host in LOOPBACK_HOSTS:
        advice = LOOPBACK_HINT
    return ConnectError(
        what,
        why=failure.why.format(**parts),
        next_step=[step.format(**parts) for step in advice.split("\n")],
        code=failure.code,
        transient=failure.transient,
    )


def _is_named(target: Target, keyword: str, message: str) -> bool:
    value = target.value_of(keyword)
    return bool(value) and value in message


def is_hidden_by_policy(error: psycopg.Error) -> bool:
    """Tell whether row-level security refused a statement: its SQLSTATE is that of privileges."""
    return error.diag.source_function == "check_enable_rls"


def read_only_error(conn: Connection) -> ApertureDbError | None:
    """The error for a database that can't be written to, with its cause: a standby, or the place
    that sets default_transaction_read_only; None where neither is the case. Needs no privilege."""
    row = conn.execute(sql.load("postgres/read_only"), {}).fetchone()
    assert row is not None
    is_standby, is_read_only, statement = row
    if not (is_standby or is_read_only):
        return None
    next_step = "connect to the primary server"
    if not is_standby:
        next_step = (
            f"as its owner or a superuser run: {statement}"
            if statement
            else "remove default_transaction_read_only from the options of the connection string, "
            "or from PGOPTIONS"
        )
    return ApertureDbError(
        "the database is read-only",
        why="it is a standby" if is_standby else "default_transaction_read_only is on",
        next_step=next_step,
        code="read_only",
    )


def translate_query_error(
    error: psycopg.Error, target: Target, *, writes: bool = False
) -> ApertureDbError:
    """The cause of a failed statement. `writes`: the command changes data, so the advice is a
    GRANT that allows it."""
    message = target.redact(error.diag.message_primary or first_sentence(str(error)))
    match error:
        case pg.InsufficientPrivilege() if is_hidden_by_policy(error):
            statement = f"ALTER ROLE {quote_identifier(target.user)} BYPASSRLS;"
            return ApertureDbError(
                f"row-level security hides rows from role {target.user}",
                why=message,
                next_step=as_administrator([statement]),
                code="row_security",
            )
        case pg.InsufficientPrivilege():
            if not message.startswith(("permission denied", "must be ")):
                message = restate(message, target, writes=writes)
            advice = grant_for(message, target, writes=writes)
            return ApertureDbError(
                "the database refused a statement",
                why=message,
                next_step=advice,
                details=_remarks(error, target),
                code="no_privilege",
            )
        case pg.ReadOnlySqlTransaction():
            return ask(target, read_only_error) or ApertureDbError(
                "the database is read-only",
                why=f"{message}; the server is a standby, or default_transaction_read_only is on",
                next_step="connect to the primary server",
                code="read_only",
            )
        case pg.ProtocolViolation() if "statement pooling" in message:
            return ConnectError(
                "the connection pooler refuses transactions",
                why=f"it hands out server connections for single statements: {message}",
                next_step="set pool_mode = transaction in PgBouncer's configuration, or connect to "
                "the server's own port (5432)",
                code="statement_pooling",
            )
        case pg.CharacterNotInRepertoire() | pg.UntranslatableCharacter():
            return ApertureDbError(
                "the database's encoding does not have a character, or bytes are no text in it",
                why=message,
                next_step=RIGHT_ENCODING,
                code="encoding",
            )
        case pg.LockNotAvailable():
            return BusyError(
                "timed out waiting for a lock",
                why=message,
                next_step="end the session that holds the lock (see aperture-db health) and retry",
            )
        case pg.DeadlockDetected() | pg.SerializationFailure():
            return BusyError(
                "the statement conflicted with another session",
                why=message,
                next_step="run the command again",
                code="conflict",
            )
        case pg.QueryCanceled():
            return _cancelled(message)
        case _:
            return _translate_resource_error(error, message) or _refused(error, message, target)


def _cancelled(message: str) -> ApertureDbError:
    # The same SQLSTATE for all, and the text is in the server's language.
    by_somebody = "user request" in message
    return ApertureDbError(
        "the server cancelled the statement",
        why=message,
        next_step="run the command again"
        if by_somebody
        else "run it again at a quieter time, or raise statement_timeout",
        code="cancelled",
    )


def out_of_locks(what: str, message: str) -> ApertureDbError:
    """The error for a transaction with more tables than the server's lock table has room for."""
    return ApertureDbError(
        what,
        why=f"{message}: its lock table has no room for this many tables and indexes at once",
        next_step=f"ALTER SYSTEM SET {LOCKS_SETTING} = 512; then restart the server",
        code="locks_exhausted",
    )


def lacks_shared_memory(error: psycopg.Error) -> bool:
    """Tell whether /dev/shm was too small: the segment's name is in the message of any language."""
    return isinstance(error, pg.DiskFull) and "/PostgreSQL." in str(error)


def _translate_resource_error(error: psycopg.Error, message: str) -> ApertureDbError | None:
    """Resources exhausted on the server, or a lost connection; None for other causes."""
    if lacks_shared_memory(error):
        return ApertureDbError(
            "the server ran out of shared memory",
            why=message,
            next_step=f"set shm_size: {fitting_shm_size(message)} for the database in "
            "docker-compose.yml, or run: "
            "ALTER SYSTEM SET max_parallel_maintenance_workers = 0; SELECT pg_reload_conf();",
            code="shared_memory_full",
        )
    if isinstance(error, pg.OutOfMemory) and LOCKS_SETTING in (error.diag.message_hint or ""):
        return out_of_locks("the server ran out of locks", message)
    if isinstance(error, pg.DiskFull):
        return ApertureDbError(
            "the server's disk is full",
            why=message,
            next_step="free space on the server's data volume, then run again",
            code="disk_full",
        )
    if isinstance(error, pg.TooManyConnections):
        return ConnectError(
            "the server has no free connection slots",
            why=message,
            next_step="try again with --wait 60, or raise max_connections",
            code="too_many_connections",
            transient=True,
        )
    if _lost(error) and TIMED_OUT.search(str(error)):
        return ApertureDbError(
            "the connection was lost: the network to the server does not answer",
            why=message,
            next_step="the server rolls back the open transaction once it notices, within two "
            "minutes; to end what may still run there at once: SELECT pg_terminate_backend(pid) "
            "FROM pg_stat_activity WHERE application_name = 'aperture-db';",
            code="connection_lost",
        )
    if _lost(error):
        return ApertureDbError(
            "the connection was lost",
            why=message,
            next_step="the server rolls back the open transaction; read its log, then run again",
            code="connection_lost",
        )
    return None


def _lost(error: psycopg.Error) -> bool:
    if error.sqlstate is None:
        return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    # Class 08 is also what PgBouncer says when its server goes away; the others are shutdowns
    # and the server's own timeouts for idle sessions.
    return error.sqlstate.startswith("08") or error.sqlstate in (
        "57P01", "57P02", "57P03", "57P05", "25P03", "25P04",
    )  # fmt: skip


def _refused(error: psycopg.Error, message: str, target: Target) -> ApertureDbError:
    state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
    next_step: str | tuple[str, ...] = "run again with -vv and report the output"
    if isinstance(error, OTHER_STRUCTURE):
        compare = "aperture-db health --only schema-drift"
        next_step = (compare, f"where that finds nothing, {next_step}")
    elif isinstance(error, pg.ConfigurationLimitExceeded):
        role = quote_identifier(target.user)
        next_step = f"as a superuser run: ALTER ROLE {role} SET temp_file_limit = -1;"
    return ApertureDbError(
        "the database refused a statement",
        why=f"{message}{state}",
        next_step=next_step,
        code="statement_failed",
        details=_remarks(error, target),
    )


def _remarks(error: psycopg.Error, target: Target) -> tuple[str, ...]:
    """The server's detail and hint. A trigger can raise any text as one, so a hint is never shown
    as advice of this tool."""
    diagnostics = error.diag
    hint = diagnostics.message_hint and f"the server's hint: {diagnostics.message_hint}"
    texts = filter(None, (diagnostics.message_detail, hint))
    return tuple(target.redact(" / ".join(text.splitlines())) for text in texts)
