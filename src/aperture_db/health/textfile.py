"""Writes a file as a whole: whoever reads it sees the old text or the new one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from aperture_db.errors import ApertureDbError


def write_whole(path: Path, text: str) -> None:
    """Replace `path` by `text`: written beside it, then renamed. Others may read the file.

    Raises ApertureDbError.
    """
    temporary: Path | None = None
    try:
        umask = os.umask(0)
        os.umask(umask)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            os.fchmod(file.fileno(), 0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()
        raise ApertureDbError(
            f"{path} can't be written",
            why=error.strerror or str(error),
            next_step=f"check the directory and its rights: ls -ld {path.parent}",
            code="output_file",
        ) from error
