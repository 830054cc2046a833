"""The errors that dumps give."""

from __future__ import annotations

from pathlib import Path

from aperture_db.errors import ApertureDbError, UsageError


class BrokenDumpError(ApertureDbError):
    """A dump is cut short or damaged."""

    default_code = "broken_dump"


def broken(path: Path, why: str) -> BrokenDumpError:
    return BrokenDumpError(
        f"{path} is damaged or incomplete",
        why=why,
        next_step=f"choose another one: aperture-db backup --list --dir {path.parent}",
    )


def not_usable(path: Path, why: str, *, code: str = "not_a_dump") -> UsageError:
    """A file that is whole, for all we know, but not what a restore needs."""
    return UsageError(
        f"{path} is not a dump that can be restored",
        why=why,
        next_step="name a dump made by aperture-db backup or by Aperture: "
        f"aperture-db backup --list --dir {path.parent}",
        code=code,
    )
