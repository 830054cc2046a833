"""Why pg_dump failed, in the user's words."""

from __future__ import annotations

import re
from pathlib import Path

from aperture_db.backup.directory import disk_full
from aperture_db.dumps.children import Child
from aperture_db.errors import ApertureDbError, BusyError
from aperture_db.postgres.driver_errors import grant_for
from aperture_db.postgres.target import Target

SERVER_REASON = re.compile(r"Error message from server: (?:ERROR:|FATAL:)?\s*(.+)")
QUERY_REASON = re.compile(r"(?:query failed|failed): (?:ERROR:|FATAL:)\s*(.+)")


def describe_dump_failure(child: Child, target: Target, directory: Path) -> ApertureDbError:
    """The error for a pg_dump that ended with a failure. What it wrote is gone by then."""
    said = "\n".join(child.details)
    found = SERVER_REASON.search(said) or QUERY_REASON.search(said)
    reason = target.redact(found[1] if found else child.complaint)
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return disk_full(directory)
    if "permission denied" in reason:
        return ApertureDbError(
            "not everything may be read, so a backup would not be whole",
            why=reason,
            next_step=grant_for(reason, target.user),
            code="no_privilege",
        )
    if "lock timeout" in reason or "LOCK TABLE" in said:
        return BusyError(
            "a table is locked, so it can't be backed up now",
            why=f"pg_dump: {reason}",
            next_step="wait until the session that holds the lock is done "
            "(aperture-db health names it), then run again",
        )
    return ApertureDbError(
        "pg_dump failed, so there is no new backup",
        why=reason,
        next_step="earlier backups are untouched; remove the cause, then run again "
        "(-vv shows all that pg_dump said)",
        code="pg_dump_failed",
        details=tuple(target.redact(line) for line in child.details if reason not in line),
    )


def incomplete(why: str) -> ApertureDbError:
    """For a dump that pg_dump called a success and that is not whole."""
    return ApertureDbError(
        "the new backup is not complete and was not kept",
        why=why,
        next_step="check the disk (dmesg, df -h); earlier backups are untouched; then run again",
        code="backup_incomplete",
    )
