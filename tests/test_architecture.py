"""The layout of the package: imports run downwards between rooms, and no two modules share a name."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridgetower

ROOT = Path(bridgetower.__file__).parent
#: A room may import those behind it.
ROOMS = ("cli", "serving", "pipelines", "search", "explain", "report", "export", "training", "tasks", "verification",
         "conversion", "preparation", "datasets", "inputs", "modules", "objectives", "kernels", "base")
#: Modules and small packages beside the rooms; everything may import them, and they import each other without a cycle.
BASE = ("auto_classes", "config", "experiment", "setting_rules", "known", "files", "exits", "lazy_exports",
        "picture_files", "one_channel", "sources", "model_parts", "position", "progress", "distributed", "runtime")


def module_names() -> list[tuple[str, ...]]:
    """Every module as the parts of its name below the package; that of a package ends with `__init__`."""
    return [path.relative_to(ROOT).with_suffix("").parts for path in sorted(ROOT.rglob("*.py"))]


def imports(module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What a module imports from the package, by absolute and relative imports, inside functions too."""
    for node in ast.walk(ast.parse(ROOT.joinpath(*module).with_suffix(".py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            name = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                name = (*module[:len(module) - node.level], *name)
            elif name[:1] != ("bridgetower",):
                continue
            else:
                name = name[1:]
            yield from ((*name, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from (tuple(name[1:]) for name in names if name[0] == "bridgetower")


def room(name: tuple[str, ...]) -> str:
    return "base" if name[0] in BASE else name[0]


MODULES = [module for module in module_names() if len(module) > 1 or module[0] in BASE]


def test_every_module_has_a_room() -> None:
    loose = {module[0] for module in module_names()} - {*ROOMS, *BASE, "__init__", "__main__"}
    assert not loose, f"{loose} belong into a room, or into the list of this test"


@pytest.mark.parametrize("module", MODULES, ids=".".join)
def test_imports_run_downwards(module: tuple[str, ...]) -> None:
    here = room(module)
    for name in imports(module):
        if name and room(name) in ROOMS and name[0] != "base":
            assert ROOMS.index(room(name)) >= ROOMS.index(here), f"{'.'.join(module)} imports {'.'.join(name)}"


def test_no_cycle_between_packages() -> None:
    """Packages within a room count too, for instance those of `conversion`; so do the modules beside the rooms."""
    edges: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    packages = {module[:-1] for module in module_names()} | {(name,) for name in BASE}
    for module in MODULES:
        here = module if module[0] in BASE else module[:-1]
        for name in imports(module):
            target = next((name[:size] for size in range(len(name), 0, -1) if name[:size] in packages), here)
            is_inside = here[:len(target)] == target or target[:len(here)] == here  # a package and its own parts
            if not is_inside:
                edges.setdefault(here, set()).add(target)
    done: set[tuple[str, ...]] = set()

    def visit(package: tuple[str, ...], path: tuple[tuple[str, ...], ...]) -> None:
        assert package not in path, " imports ".join(".".join(each) for each in (*path, package))
        if package not in done:
            for target in edges.get(package, ()):
                visit(target, (*path, package))
            done.add(package)

    for package in list(edges):
        visit(package, ())


@pytest.mark.parametrize("package", ["", ".datasets", ".explain", ".export", ".pipelines"])
def test_what_loads_on_first_use_is_not_hidden_by_a_module(package: str) -> None:
    """The import of a module sets its name in the package, whatever the package exports by that name."""
    folder = ROOT.joinpath(*package.split("."))
    exported = set(importlib.import_module(f"bridgetower{package}").__all__)
    assert not exported & {path.stem for path in folder.iterdir()}


def test_module_names_do_not_repeat() -> None:
    """Neither do the names of packages: a name says which room is meant."""
    counts = Counter(module[-1] for module in module_names() if module[-1] not in ("__init__", "__main__"))
    packages = Counter(module[-2] for module in module_names() if module[-1] == "__init__" and len(module) > 1)
    repeated = {name for name, count in (counts + packages).items() if count > 1}
    assert not repeated
