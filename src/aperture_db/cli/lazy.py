"""Imports at the top of a command's module that cost nothing until they are used.

`aperture-db stats --help` needs the options of stats, and neither the driver nor a query.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from types import ModuleType


class _PackageLoader(LazyLoader):
    """Leaves a package unexecuted while one of its modules is imported.

    The import of `package.module` reads two attributes of the package. If that executed the
    package, and the package imported the module itself, the module would be executed twice, and
    each of its classes would exist twice.
    """

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        lazy_class = type(module)

        class _Waiting(lazy_class):  # type: ignore[valid-type, misc]
            def __getattribute__(self, name: str) -> object:
                if name in ("__path__", "__spec__"):
                    return object.__getattribute__(self, "__dict__")[name]
                object.__setattr__(self, "__class__", lazy_class)
                return getattr(self, name)

        module.__class__ = _Waiting


class _LazyFinder(MetaPathFinder):
    """Finds this package's modules, each of which is executed at its first attribute access."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("aperture_db."):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            is_package = spec.submodule_search_locations is not None
            spec.loader = (_PackageLoader if is_package else LazyLoader)(spec.loader)
        return spec


@contextmanager
def lazy_imports() -> Iterator[None]:
    """Defer the imports of this package's modules in the block to their first use.

    Import modules there, not names out of them: a name is a use.
    """
    finder = _LazyFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
