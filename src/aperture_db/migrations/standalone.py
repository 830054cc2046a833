"""Files that ask to run outside a transaction, such as CREATE INDEX CONCURRENTLY."""

from __future__ import annotations

import psycopg

from aperture_db import sql
from aperture_db.errors import ApertureDbError
from aperture_db.migrations.directory import MigrationFile
from aperture_db.migrations.locking import Limits, locked_transaction
from aperture_db.migrations.records import record
from aperture_db.migrations.script import ScriptError, run_script
from aperture_db.postgres.activity import BlockerWatch
from aperture_db.postgres.connection import Connection, connect
from aperture_db.postgres.target import Target


def apply_standalone(
    conn: Connection, target: Target, file: MigrationFile, limits: Limits, watch: BlockerWatch
) -> bool | None:
    """Run the file's one statement on a connection of its own, then commit its record on `conn`.

    The transaction on `conn` holds the runners' lock meanwhile; being READ COMMITTED and idle,
    it does not keep a CONCURRENTLY build waiting. Returns False when the file was recorded
    before, None when another runner has the lock.
    """
    with locked_transaction(conn, limits) as pid:
        if pid is None:
            return None
        if not record(conn, file.name):
            return False
        with connect(target) as worker:
            _refuse_invalid_index(worker, file)
            # A lock timeout in the middle of a CONCURRENTLY build would leave an invalid index.
            worker.execute("SET lock_timeout = 0; SET statement_timeout = 0")
            worker.execute(
                "SELECT set_config('client_connection_check_interval', %s, false)",
                [limits.connection_check_interval],
            )
            watch.start(worker.info.backend_pid)
            try:
                run_script(worker, file)
            except ScriptError as failure:
                _explain_invalid_index(target, file, failure)
                raise
            watch.stop()
        conn.execute("COMMIT")
    return True


def _index_name(file: MigrationFile) -> str | None:
    """The index that CREATE INDEX CONCURRENTLY would make."""
    tokens = [token.text for token in file.statements[0].tokens]
    if tokens[:1] != ["CREATE"] or "CONCURRENTLY" not in tokens:
        return None
    rest = tokens[tokens.index("CONCURRENTLY") + 1 :]
    if rest[:3] == ["IF", "NOT", "EXISTS"]:
        rest = rest[3:]
    return rest[0] if rest and rest[0] != "ON" else None


def _find_invalid_index(conn: Connection, file: MigrationFile) -> str | None:
    name = _index_name(file)
    if name is None:
        return None
    found = conn.execute(sql.load("migrations/invalid_index"), {"name": name}).fetchone()
    return str(found[0]) if found else None


def _refuse_invalid_index(conn: Connection, file: MigrationFile) -> None:
    """An earlier attempt failed half way. IF NOT EXISTS would take its remains for the index."""
    if index := _find_invalid_index(conn, file):
        raise ApertureDbError(
            f"migration {file.name} was not applied: index {index} is there, but invalid",
            why="an earlier attempt to build it failed; the server does not use such an index",
            next_step=f"run: DROP INDEX CONCURRENTLY {index}; then: aperture-db migrate",
            code="invalid_index",
        )


def _explain_invalid_index(target: Target, file: MigrationFile, failure: ScriptError) -> None:
    """Raise an error that names what a failed build left behind, if it did."""
    with connect(target) as observer:
        index = _find_invalid_index(observer, file)
    if index and not isinstance(failure.cause, psycopg.errors.DuplicateTable):
        cause = failure.cause
        raise ApertureDbError(
            f"migration {file.name} failed and left the invalid index {index}",
            why=f"{cause.diag.message_primary or cause} (SQLSTATE {cause.sqlstate})",
            next_step=f"run: DROP INDEX CONCURRENTLY {index}; mend the cause, then: "
            "aperture-db migrate",
            code="invalid_index",
            details=(
                (f"detail: {cause.diag.message_detail}",) if cause.diag.message_detail else ()
            ),
        ) from cause
