"""The pages: their links, the files and names that they mention, and the picture of the rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import architecture
from tests.test_architecture import BASE, ROOMS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
PROSE = {page: re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
         for page in PAGES}
PARTS = [name for name in (*ROOMS, *BASE) if name != "base"]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", PROSE[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_merges_are_finished(page: Path) -> None:
    assert not re.findall(r"^(?:<{7}|={7}|>{7})", page.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", PROSE[page]):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            linked = (page.parent / name).resolve() if name else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_mentioned_exist(page: Path) -> None:
    """Paths that begin with a folder of the repository or with a room of the package."""
    folders = ("benchmarks", "configs", "docs", "scripts", "src", "tests")
    for name in re.findall(r"`([\w./-]+/[\w./-]*)`", PROSE[page]):
        first = name.split("/")[0]
        if first in folders:
            assert (ROOT / name).exists(), name
        elif first in PARTS:
            assert (architecture.PACKAGE / name).exists() or (architecture.PACKAGE / f"{name}.py").exists(), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_hold_what_a_page_says(page: Path) -> None:
    """`NAME` in `file`: the file has the name."""
    for name, file in re.findall(r"`(\w+)`\s+in\s+`([\w./]+\.py)`", PROSE[page]):
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text(encoding="utf-8")), f"{name} is not in {file}"


def test_both_readmes_have_the_same_code() -> None:
    """Commands, programs and the folders of the layout; comments and descriptions are translated."""
    def code(name: str) -> list[str]:
        blocks = re.findall(r"^```.*?^```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        return [re.sub(r"(?<=\S)( {3,}\S| {2}# ).*", "", line)
                for block in blocks for line in block.splitlines()]

    assert code("README.md") == code("README.zh-CN.md")


def defined_names(part: str) -> Iterator[str]:
    """What a room or base module defines: names, methods as `Class.method`, and all after the name of their module."""
    package = architecture.PACKAGE / part
    for path in package.rglob("*.py") if package.is_dir() else [package.with_suffix(".py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                methods = [item.name for item in node.body if isinstance(item, ast.FunctionDef)]
                names = [node.name, *(f"{node.name}.{method}" for method in methods)]
                yield from (*names, *(f"{path.stem}.{name}" for name in names))


def test_names_on_the_ways_exist() -> None:
    """`room.name` on the page of the architecture."""
    mentioned = re.findall(rf"`({'|'.join(PARTS)})\.([A-Za-z_.]+)`", PROSE[architecture.PAGE])
    assert len(mentioned) > 50
    for part in dict.fromkeys(part for part, _ in mentioned):
        unknown = {name for other, name in mentioned if other == part} - {*defined_names(part), "py"}
        assert not unknown, f"{part} has no {', '.join(unknown)}"


def test_every_room_and_base_module_has_a_row() -> None:
    shown = architecture.shown()
    folders = {path.parent.name for path in architecture.PACKAGE.glob("*/__init__.py")}
    assert list(shown["rooms"]) == [room for room in ROOMS if room in folders]
    files = {path.stem for path in architecture.PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert set(shown["base"]) == files | (folders & set(BASE))


def test_the_picture_is_current(tmp_path: Path) -> None:
    architecture.draw(tmp_path / "rooms.png")
    shown = architecture.shown()
    assert architecture.read_metadata(tmp_path / "rooms.png") == shown
    assert architecture.read_metadata(architecture.PICTURE) == shown, \
        "rooms, their sentences or imports changed: run python docs/architecture.py"
