"""Mounts small disks."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.disks import SmallDisk
from tests.servers.programs import NO_MOUNTS

MOUNT, UMOUNT = (shutil.which(name) or name for name in ("mount", "umount"))


@pytest.fixture
def mount() -> Iterator[Callable[[str], SmallDisk]]:
    """Mounts a disk of a size where the server's account gets in, too."""
    mounted: list[Path] = []

    def make(size: str) -> SmallDisk:
        path = Path(tempfile.mkdtemp(prefix="aperture-db-disk-"))
        options = ["-o", f"size={size},mode=755"]
        done = subprocess.run(
            [MOUNT, "-t", "tmpfs", *options, "none", path], capture_output=True, check=False
        )
        if done.returncode != 0:
            path.rmdir()
            pytest.skip(NO_MOUNTS)
        mounted.append(path)
        return SmallDisk(path)

    yield make
    for path in mounted:
        subprocess.run([UMOUNT, "--lazy", path], check=True)
        path.rmdir()
