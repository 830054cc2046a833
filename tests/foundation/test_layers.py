"""The house: which way imports point, how long their chains are, and how large the parts are.

Every import counts, also those in functions, in `lazy_imports` blocks and for the type checker
only: a reader has to follow them all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import aperture_db
from tests.conftest import MIGRATIONS

PACKAGE = Path(aperture_db.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# The floors, the lowest first. A module imports from its own floor and from those below.
FLOORS = (
    {"errors", "format", "new_files", "progress", "safe_files", "sql", "__init__"},
    {"postgres"},
    {"aperture"},
    {
        "backup", "clean", "demo", "dumps", "extensions", "health", "migrations", "purge",
        "relink", "report", "restore", "sample", "stats", "vacuum",
    },
    {"render"},
    {"cli", "__main__"},
)  # fmt: skip
# A room knows another one only where it says so here.
ROOMS_KNOWN = {
    "backup": {"dumps"},
    "demo": {"migrations", "sample", "stats"},  # shows them at work
    "health": {"clean", "extensions", "migrations", "stats"},  # composes them
    "migrations": {"extensions"},  # asks what is available before it applies anything
    "purge": {"migrations", "relink"},  # keeps what users made, rebuilds
    "report": {"extensions", "health", "migrations", "stats"},  # shows all of them
    "restore": {"backup", "dumps", "extensions", "migrations"},  # backs up first; compares versions
}
# Each third-party package and who may import it.
OWNERS = {
    "click": set[str](), "typer": {"cli"}, "rich": {"render"}, "jinja2": {"render"},
    "markupsafe": {"render"}, "pygal": {"render"},
}  # fmt: skip
NO_DRIVER = {"cli", "render"}

MOST_MODULES = 165
MOST_SQL_FILES = 16
LONGEST_CHAIN = 11
MOST_MODULE_LINES = 400
MOST_FUNCTION_LINES = 70


def name_of(file: Path) -> str:
    """The module's dotted name."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def room_of(file: Path) -> str:
    """The top-level module or package below aperture_db that `file` is, or is in."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    [floor] = [number for number, rooms in enumerate(FLOORS) if room in rooms]
    return floor


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imports_of(file: Path) -> Iterator[tuple[str, bool]]:
    """Every dotted name that a module imports, and whether only a type checker sees it."""
    tree = tree_of(file)
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
            assert node.module, f"{file} has a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", id(node) in for_types


def import_graph() -> dict[str, set[str]]:
    """The modules of this package that each one imports."""
    modules = {name_of(file): file for file in FILES}
    graph: dict[str, set[str]] = {}
    for module, file in modules.items():
        graph[module] = set()
        for name, _only_types in imports_of(file):
            owner = name if name in modules else name.rpartition(".")[0]
            if owner in modules and owner not in (module, "aperture_db"):
                graph[module].add(owner)
    return graph


def functions_of(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def line_count(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function, without its decorators."""
    assert node.end_lineno
    return node.end_lineno - node.lineno + 1


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(file) for file in FILES} - set().union(*FLOORS) == set()


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(file: Path) -> None:
    room = room_of(file)
    for name, only_types in imports_of(file):
        package, _, rest = name.partition(".")
        other = rest.split(".")[0]
        if package == "aperture_db":
            other = other if any(other in rooms for rooms in FLOORS) else "__init__"
            assert may_know(room, other), f"{room} imports {name}"
        elif package in OWNERS and not only_types:
            assert room in OWNERS[package], f"{room} imports {name}"
        elif package == "psycopg":
            assert room not in NO_DRIVER, f"{room} imports {name}"


def may_know(room: str, other: str) -> bool:
    """Whether modules of `room` may import from `other`."""
    if room == other:
        return True
    if floor_of(room) == floor_of(other) == floor_of("stats"):
        return other in ROOMS_KNOWN.get(room, ())
    return floor_of(room) >= floor_of(other)


def test_every_room_that_another_may_know_is_known() -> None:
    """A permission that nothing uses invites what it was not meant for."""
    used: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        room = module.split(".")[1] if "." in module else module
        for other in (each.split(".")[1] for each in imported if "." in each):
            if other != room and room in FLOORS[3] and other in FLOORS[3]:
                used.setdefault(room, set()).add(other)
    assert used == ROOMS_KNOWN


def test_no_module_imports_itself_in_a_circle() -> None:
    TopologicalSorter(import_graph()).prepare()  # raises CycleError, which names the modules


def test_the_chains_of_imports_are_short() -> None:
    graph = import_graph()

    @cache
    def longest_from(module: str) -> tuple[str, ...]:
        return (module, *max(map(longest_from, graph[module]), key=len, default=()))

    longest = max(map(longest_from, graph), key=len)
    assert len(longest) <= LONGEST_CHAIN, " > ".join(longest)


def test_there_are_few_modules_and_one_sql_file_a_room() -> None:
    assert len(FILES) <= MOST_MODULES
    assert len(list(PACKAGE.rglob("*.sql"))) <= MOST_SQL_FILES


def test_sql_files_have_only_letters_that_every_database_has() -> None:
    """A server converts what it is sent to the database's encoding, comments too."""
    for file in (*PACKAGE.rglob("*.sql"), *MIGRATIONS.glob("*.sql")):
        assert file.read_bytes().isascii(), file


def test_modules_can_be_read_from_top_to_bottom() -> None:
    lines = {str(file.relative_to(PACKAGE)): len(file.read_text().splitlines()) for file in FILES}
    assert {name: count for name, count in lines.items() if count > MOST_MODULE_LINES} == {}


def test_functions_fit_a_screen() -> None:
    long = {
        f"{file.relative_to(PACKAGE)} {function.name}"
        for file in FILES
        for function in functions_of(file)
        if line_count(function) > MOST_FUNCTION_LINES
    }
    assert long == set()


def test_a_class_name_is_defined_once() -> None:
    names = [
        node.name
        for file in FILES
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.ClassDef)
    ]
    assert {name for name in names if names.count(name) > 1} == set()


def test_every_shown_text_passes_the_console() -> None:
    """rich's own Text would let through what a terminal obeys; see `render/console.py`."""
    makers = {
        str(file.relative_to(PACKAGE))
        for file in FILES
        for name, _only_types in imports_of(file)
        if name in ("rich.text", "rich.text.Text", "rich.markup.render", "rich.print")
    }
    assert makers == {"render/console.py"}
