"""Which old backups go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from aperture_db.backup.listing import ListedBackup
from aperture_db.dumps.files import Purpose


def choose_expired(
    backups: Iterable[ListedBackup], keep: int, just_made: Path
) -> tuple[ListedBackup, ...]:
    """The backups beyond the newest `keep`, oldest last.

    Only files that this tool made, whole and not renamed, count and go; the one just made, which
    has been read back, stays whatever the clock said when the others were made.
    """
    ours = sorted(
        (
            backup
            for backup in backups
            if backup.purpose is Purpose.BACKUP and backup.is_ours and backup.path != just_made
        ),
        key=lambda backup: backup.made_at,
        reverse=True,
    )
    return tuple(ours[max(0, keep - 1) :])
