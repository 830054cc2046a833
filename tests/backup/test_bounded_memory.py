"""Any file is verified in bounded memory, whatever it holds and however it is packed."""

from __future__ import annotations

import lzma
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dump_bombs import HEAD, READABLE, REFUSED, TABLE, TAIL, rows_of_copy, write_bomb

MOST_BYTES = 100 << 20
BOMB_BYTES = 150 << 20
# Every token of these costs time, and shorter ones show the same.
SLOW_BYTES = {
    "one_insert_in_a_line": 3 << 20, "insert_statements": 20 << 20,
    "one_insert_of_many_rows": 20 << 20, "many_entries": 40 << 20,
}  # fmt: skip
# Linux counts the largest size of a process that forked with that of its child, so the file is read
# in a process of its own.
READ = """
import resource, sys
from pathlib import Path
from aperture_db.dumps.contents import ContentsRead, read_contents
from aperture_db.errors import ApertureDbError

def peak_bytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024

before = peak_bytes()
try:
    for event in read_contents(Path(sys.argv[1])):
        if isinstance(event, ContentsRead):
            said = ",".join(map(str, event.contents.tables))
except ApertureDbError as error:
    said = type(error).__name__
print(peak_bytes() - before, said)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def read_alone(path: Path) -> tuple[int, str]:
    """The memory that reading the file takes beyond that of the program, and the result."""
    done = subprocess.run(
        [sys.executable, "-c", READ, path], capture_output=True, text=True, check=True
    )
    taken, _, said = done.stdout.strip().partition(" ")
    return int(taken), said


@pytest.mark.parametrize("kind", [*READABLE, *REFUSED])
def test_a_script_of_any_kind(kind: str, tmp_path: Path) -> None:
    content = (READABLE | REFUSED)[kind](SLOW_BYTES.get(kind, BOMB_BYTES))
    taken, said = read_alone(write_bomb(tmp_path / "dump.sql.gz", content))
    assert said == ("t" if kind in READABLE else "NotUnderstoodError")
    assert taken < MOST_BYTES


def test_a_file_that_asks_for_a_large_dictionary(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql.xz"
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 400 << 20}]
    path.write_bytes(lzma.compress(HEAD + TABLE + TAIL, filters=filters))
    taken, said = read_alone(path)
    assert said == "BrokenDumpError"
    assert taken < MOST_BYTES


def test_the_strongest_compression_of_xz(tmp_path: Path) -> None:
    path = tmp_path / "dump.sql.xz"
    content = b"".join([HEAD, *rows_of_copy(80 << 20), TAIL])
    # Several streams and padding, as `cat a.xz b.xz` makes them.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 << 20}]
    parts = (content[:1000], content[1000:])
    packed = [lzma.compress(part, filters=filters) for part in parts]
    path.write_bytes(b"\0\0\0\0".join(packed))
    taken, said = read_alone(path)
    assert said == "t"
    assert taken < MOST_BYTES
