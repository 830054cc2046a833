"""Files that appear when they are complete, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aperture_db import new_files
from aperture_db.new_files import new_file, partial_file, replace_file
from aperture_db.safe_files import hold, hold_directory, read_input

WRITE_AND_WAIT = """
import sys
from collections.abc import Callable
from pathlib import Path
from aperture_db import new_files
from aperture_db.new_files import new_file
with new_file(Path(sys.argv[1])) as file:
    file.append(b"half")
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_WAIT, tmp_path / "new"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_under_a_name_is_deleted_when_nobody_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_files, "_create_unnamed", lambda _directory: None)
    with hold_directory(tmp_path) as held, partial_file(held) as partial:
        (name,) = held.names()
        # A child that ignores the end of its parent.
        heir = os.dup(partial.descriptor)
        (tmp_path / name).rename(tmp_path / "elsewhere")
        os.link(tmp_path / "elsewhere", tmp_path / ".aperture_left.partial")
    (tmp_path / "elsewhere").unlink()
    replace_file(tmp_path / "first", "")
    assert (tmp_path / ".aperture_left.partial").exists()
    os.close(heir)
    replace_file(tmp_path / "second", "")
    assert {each.name for each in tmp_path.iterdir()} == {"first", "second"}


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("refusal", [errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP])
def test_a_file_system_that_gives_no_second_name(
    refusal: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(refusal))
    with new_file(tmp_path / "new") as file:
        file.append(b"complete")
    replace_file(tmp_path / "replaced", "first", mode=0o640)
    replace_file(tmp_path / "replaced", "second", mode=0o640)
    with pytest.raises(FileExistsError), new_file(tmp_path / "new") as file:
        file.append(b"another")

    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {
        "new": "complete",
        "replaced": "second",
    }
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "replaced").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_copy_for_such_a_file_system_has_the_same_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refusing(errno.EXDEV))
    os.chown(tmp_path, 4321, 4322)
    with hold_directory(tmp_path) as held, partial_file(held) as partial:
        partial.append(b"backup")
        partial.give_to_directory_owner()
        partial.publish("backup.dump")
    status = (tmp_path / "backup.dump").stat()
    assert (status.st_uid, status.st_gid) == (4321, 4322)


def test_replacing_leaves_the_old_file_until_the_new_one_is_complete(tmp_path: Path) -> None:
    (tmp_path / "metrics.prom").write_text("old")
    with hold_directory(tmp_path) as held, partial_file(held) as partial:
        partial.append(b"half")
        assert (tmp_path / "metrics.prom").read_text() == "old"
        partial.replace("metrics.prom")
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"metrics.prom": "half"}


def test_what_is_no_file_is_not_opened_for_long(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="not a regular file"), hold(tmp_path / "fifo"):
        pass
    for path in (tmp_path, Path("/dev/zero"), Path("/dev/null"), tmp_path / "missing"):
        with pytest.raises(OSError):  # noqa: PT011
            read_input(path, 1)
