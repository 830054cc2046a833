"""Small disks that tests fill."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SmallDisk:
    """A mounted tmpfs."""

    path: Path

    @property
    def filler(self) -> Path:
        return self.path / "filler"

    def fill(self, *, left_bytes: int = 0) -> None:
        """Leave so much."""
        size_bytes = shutil.disk_usage(self.path).free - left_bytes
        with self.filler.open("wb") as file:
            file.write(bytes(size_bytes))

    def empty(self) -> None:
        self.filler.unlink()
