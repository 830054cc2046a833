"""docs/troubleshooting.md lists every error code of the program with its remedy."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator

import aperture_db
from aperture_db.errors import ApertureDbError
from aperture_db.extensions.report import ExtensionState
from aperture_db.postgres.connect_failures import CONNECT_FAILURES
from tests.docs.markdown import ROOT, sections

SOURCE = ROOT / "src" / "aperture_db"
DOCUMENT = ROOT / "docs" / "troubleshooting.md"
ROW = re.compile(r"^\| `(\w+)` \|(.*)\|$", re.MULTILINE)
# Codes that a variable holds; the tables and classes that they come from are read below.
VARIABLE = {"code", "failure.code", "lost.code", "f'extension_{concerned[0].state}'"}
USABLE = (ExtensionState.OK, ExtensionState.OUTDATED)


def test_every_error_code_is_listed_with_its_remedy() -> None:
    rows = ROW.findall(sections(DOCUMENT)["error-codes"])
    listed = [code for code, _ in rows]
    assert len(listed) == len(set(listed))
    assert set(listed) == program_codes()
    for code, cells in rows:
        assert all(cell.strip() for cell in cells.split(" | ")), code


def program_codes() -> set[str]:
    """Every value that `error.code` can have."""
    codes = {failure.code for failure in CONNECT_FAILURES}
    codes |= {f"extension_{state}" for state in ExtensionState if state not in USABLE}
    codes |= {kind.default_code for kind in error_classes()}
    for path in SOURCE.rglob("*.py"):
        codes |= set(literal_codes(ast.parse(path.read_text(encoding="utf-8"))))
    return codes


def error_classes() -> set[type[ApertureDbError]]:
    """ApertureDbError and all classes below it."""
    for module in pkgutil.walk_packages(aperture_db.__path__, "aperture_db."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found, waiting = set(), [ApertureDbError]
    while waiting:
        found.add(kind := waiting.pop())
        waiting += kind.__subclasses__()
    return found


def literal_codes(module: ast.Module) -> Iterator[str]:
    """The codes that a module writes out: as `code=…`, or as the argument of a function of its own
    for the parameter `code`, or as that parameter's default."""
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    positions = {}
    for function in functions:
        names = [each.arg for each in function.args.args]
        if "code" in names:
            positions[function.name] = names.index("code")
        for name, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if name.arg == "code" and default is not None:
                yield from strings_of(default)
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        values = [keyword.value for keyword in call.keywords if keyword.arg == "code"]
        position = positions.get(getattr(call.func, "id", ""), len(call.args))
        for value in (*values, *call.args[position : position + 1]):
            if not isinstance(value, ast.Call):
                # A call gives an exit code.
                yield from strings_of(value)


def strings_of(value: ast.expr) -> Iterator[str]:
    """The strings that an expression may be."""
    match value:
        case ast.Constant(str(text)):
            yield text
        case ast.IfExp():
            yield from strings_of(value.body)
            yield from strings_of(value.orelse)
        case ast.Constant(None):
            pass
        case _:
            assert ast.unparse(value) in VARIABLE, f"teach this test: {ast.unparse(value)}"
