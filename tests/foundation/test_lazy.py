"""Lazy imports execute every module once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aperture_db.cli.app import COMMANDS

# Uses every module that the command's module imports, and looks for classes that exist twice.
SCRIPT = """
import sys
from importlib import import_module
import_module(sys.argv[1])
modules = {}
while unused := [name for name in sys.modules if "aperture_db" in name and name not in modules]:
    modules |= {name: dir(sys.modules[name]) and vars(sys.modules[name]) for name in unused}
classes = {}
for attributes in modules.values():
    for value in list(attributes.values()):
        if isinstance(value, type) and value.__module__ in modules:
            classes.setdefault((value.__module__, value.__qualname__), set()).add(id(value))
print(*sorted({module for (module, _), found in classes.items() if len(found) > 1}))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_no_module_is_executed_twice(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, COMMANDS[name].module],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
