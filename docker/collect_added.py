"""Copies what was added to a file system since a moment: `collect_added.py MARKER ROOT DIRECTORY`.

MARKER is a file made at that moment. What is new or changed since then is laid below DIRECTORY as
it lies below ROOT, with the owners, modes and links that it has.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

# Not part of an image, or only of the one in which this runs.
SKIPPED = ("build", "dev", "proc", "run", "sys", "tmp", "root/.cache", "var/cache")
# The engine lays its own over these while it builds.
ENGINE_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")


def collect(root: Path, since_ns: int, into: Path) -> None:
    """Copy what changed below `root` to `into`.

    The time is a file's ctime, in nanoseconds: a package's files keep the mtime of their making.
    """
    for path in changed_files(root, since_ns, into):
        target = into / path.relative_to(root)
        make_directories(path.parent, target.parent, into)
        shutil.copy2(path, target, follow_symlinks=False)
        copy_owner(path, target)


def changed_files(root: Path, since_ns: int, into: Path) -> Iterator[Path]:
    """Files and links below `root`, and not below `into`, whose ctime is not before `since_ns`."""
    skipped = {into, *(root / name for name in SKIPPED)}
    for directory, names, files in os.walk(root):
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        names[:] = [name for name in names if here / name not in skipped]
        for path in (here / name for name in (*files, *links)):
            is_engines = str(path.relative_to(root)) in ENGINE_FILES
            if not is_engines and path.lstat().st_ctime_ns >= since_ns:
                yield path


def make_directories(source: Path, target: Path, into: Path) -> None:
    """Make `target` and its parents up to `into`, each like the directory it is a copy of."""
    if target == into or target.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        return
    make_directories(source.parent, target.parent, into)
    target.mkdir()
    shutil.copystat(source, target)
    copy_owner(source, target)


def copy_owner(source: Path, target: Path) -> None:
    status = source.lstat()
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)


if __name__ == "__main__":
    marker, system, destination = map(Path, sys.argv[1:])
    collect(system, marker.lstat().st_ctime_ns, destination)
