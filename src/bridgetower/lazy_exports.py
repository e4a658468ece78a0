"""Public names of a package that load on first use, so that a command that only prints its help starts quickly."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from .runtime import paused_collection

__all__ = ["lazy_exports"]


def lazy_exports(package: str, exports: Mapping[str, str]) -> tuple[list[str], Callable[[str], Any],
                                                                    Callable[[], list[str]]]:
    """The `__all__`, `__getattr__` and `__dir__` of a package whose modules load on first use.

    Args:
        package: the package's `__name__`.
        exports: the public names, and for each the module or package within `package` that defines it.
    """
    def load(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with paused_collection():
            return getattr(importlib.import_module(f".{exports[name]}", package), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *exports})

    return sorted(exports), load, names
