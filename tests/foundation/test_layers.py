"""The direction of imports: cli -> render, features -> library, catalog -> connection -> errors."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aperture_db
from tests.cli import environment

PACKAGE = Path(aperture_db.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a feature may know of others. All others know none.
FEATURES = {
    "backup": set[str](),
    "clean": set[str](),
    "demo": {"migrations", "stats"},  # shows them at work
    "extensions": set[str](),
    "health": {"clean", "extensions", "migrations", "stats"},  # composes what they know
    "migrations": {"extensions"},  # asks what is to be had before it applies anything
    "purge": {"backup", "migrations", "relink"},  # backs up, keeps what users made, rebuilds
    "relink": set[str](),
    "restore": {"backup", "extensions", "migrations"},  # backs up first; compares versions
    "stats": set[str](),
    "vacuum": set[str](),
}
# Each third-party package and who may import it.
OWNERS = {
    "click": set[str](),
    "typer": {"cli"},
    "rich": {"render"},
}


def room_of(module: Path) -> str:
    """The top-level module or package below aperture_db that `module` is, or is in."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(module: Path) -> Iterator[tuple[str, bool]]:
    """Every dotted name that a module imports, and whether only a type checker sees it."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{module} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in for_types


def test_every_feature_is_listed() -> None:
    rooms = {room_of(module) for module in MODULES}
    assert set(FEATURES) < rooms


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(module: Path) -> None:
    room = room_of(module)
    for name, only_types in imports_of(module):
        package, _, rest = name.partition(".")
        if package == "aperture_db":
            assert may_know(room, rest.split(".")[0]), f"{room} imports {name}"
        elif package in OWNERS and not only_types:
            assert room in OWNERS[package], f"{room} imports {name}"
        elif package == "psycopg":
            assert room not in ("cli", "render"), f"{room} imports {name}"


def may_know(room: str, other: str) -> bool:
    """Whether modules of `room` may import from `other`."""
    if room in ("cli", "__main__") or room == other:
        return True
    if other == "cli":
        return False
    if room == "render":
        return True
    if other == "render":
        return False
    if room in FEATURES:
        return other not in FEATURES or other in FEATURES[room]
    return other not in FEATURES


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["migrate", "--help"]])
def test_help_and_version_load_no_driver(arguments: list[str]) -> None:
    probe = (
        "import sys; from aperture_db.cli.app import run_program; "
        f"run_program({arguments!r}); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} "
        "& {'psycopg', 'pgvector', 'numpy', 'dotenv'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
