"""Draw the rooms of the package and the imports between them: `python docs/architecture.py [OUTPUT.png]`.

The tables of architecture.md name the rooms, their order and their purpose; the arrows come from the imports in the
source. The picture carries what it shows as JSON in its metadata, so that a test can compare it.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src/bridgetower"
PAGE, PICTURE = ROOT / "docs/architecture.md", ROOT / "docs/architecture.png"
KEYWORD = "Rooms"

WIDTH, BOX, HEIGHT, SPACE, MARGIN, LANE = 11.0, 2.75, 1.13, 0.85, 0.25, 0.12  # inches
PER_FLOOR = 3
COLOURS = ("#2f6db5", "#c2571a", "#2c8a57", "#8a4fb0", "#b8860b", "#b03a5b", "#3b8c94", "#6b6f1f", "#5a5fc7", "#94563b",
           "#47799c", "#a0478f", "#4d8a2c", "#c04a3a", "#6a6a6a", "#7a5a9a", "#2a7f7f")

Imports = dict[str, list[str]]


def rooms_of_page(heading: str) -> dict[str, str]:
    """Names and sentences of the table below a heading of the page, in order, as far as the package has them."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    return {name: text for name, text in rows if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def imported_rooms(path: Path) -> Iterator[str]:
    """The rooms and base modules that a file imports, inside functions too."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = package[:len(package) + 1 - node.level] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        yield from (name[1] for name in names if name[0] == PACKAGE.name and len(name) > 1)


def find_imports(rooms: Sequence[str]) -> Imports:
    """For each room the other rooms that its files import, in the order of `rooms`."""
    found = {room: {name for path in (PACKAGE / room).rglob("*.py") for name in imported_rooms(path)} for room in rooms}
    return {room: [other for other in rooms if other in found[room] and other != room] for room in rooms}


def floors(imports: Imports) -> list[list[str]]:
    """The rooms in order, cut into floors on which no room imports another."""
    result: list[list[str]] = [[]]
    for room in imports:
        if len(result[-1]) == PER_FLOOR or any(room in imports[other] for other in result[-1]):
            result.append([])
        result[-1].append(room)
    return result


def shown() -> dict[str, Any]:
    """All that the picture shows: the sentences of rooms and base modules, and the imports between rooms."""
    rooms = rooms_of_page("Rooms of `src/bridgetower`")
    return {"rooms": rooms, "base": rooms_of_page("Base modules"), "imports": find_imports(list(rooms))}


def read_metadata(picture: Path) -> dict[str, Any]:
    """What a drawn picture shows."""
    from PIL import Image

    with Image.open(picture) as image:
        return json.loads(image.info[KEYWORD])  # type: ignore[no-any-return]


class Drawing:
    """Boxes on floors, and arrows that pass floors in between through the gaps beside their boxes."""

    def __init__(self, rooms: Mapping[str, str], base: Mapping[str, str], imports: Imports) -> None:
        from matplotlib.figure import Figure

        self.floors, self.imports = floors(imports), imports
        self.pitch = HEIGHT + SPACE
        self.height = len(self.floors) * self.pitch - SPACE / 2 + 0.85 + 2 * MARGIN
        self.figure = Figure((WIDTH, self.height), facecolor="white")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(0, self.height))
        self.axes.axis("off")
        self.places = {room: (centre, level) for level, floor in enumerate(self.floors)
                       for room, centre in zip(floor, self._centres(len(floor)), strict=True)}
        self.colours = dict(zip(rooms, COLOURS * len(rooms), strict=False))
        self._arrows()
        for room, text in rooms.items():
            self._room(room, text)
        self._base(base)

    @staticmethod
    def _centres(count: int) -> list[float]:
        step = WIDTH / count
        return [step * (index + 0.5) for index in range(count)]

    def _top(self, level: int) -> float:
        return self.height - MARGIN - level * self.pitch

    def _box(self, left: float, top: float, width: float, height: float, edge: str, face: str) -> None:
        from matplotlib.patches import FancyBboxPatch

        style = "round,pad=0,rounding_size=0.12"
        self.axes.add_patch(FancyBboxPatch((left, top - height), width, height, boxstyle=style, linewidth=1.6,
                                           edgecolor=edge, facecolor=face, zorder=3))

    def _room(self, room: str, text: str) -> None:
        centre, level = self.places[room]
        top = self._top(level)
        self._box(centre - BOX / 2, top, BOX, HEIGHT, self.colours[room], "#fbfbfd")
        self.axes.text(centre, top - 0.2, room, ha="center", va="center", fontsize=13, weight="bold",
                       color=self.colours[room], zorder=4)
        lines = textwrap.fill(text.replace("`", ""), 36)
        self.axes.text(centre, top - 0.36, lines, ha="center", va="top", fontsize=9, color="#333333", zorder=4,
                       linespacing=1.2)

    def _base(self, base: Mapping[str, str]) -> None:
        top = MARGIN + 0.85
        self._box(MARGIN, top, WIDTH - 2 * MARGIN, 0.85, "#888888", "#f1f1f1")
        self.axes.text(WIDTH / 2, top - 0.3, textwrap.fill("   ".join(base), 112), ha="center", va="center",
                       fontsize=11, weight="bold", color="#444444", zorder=4, linespacing=1.3)
        note = "base modules, which every room may import (arrows left out)"
        self.axes.text(WIDTH / 2, top - 0.68, note, ha="center", va="center", fontsize=9.5, color="#555555", zorder=4)

    def _gaps(self, level: int) -> list[float]:
        """The middles of the free columns of a floor: beside its boxes and between them."""
        centres = self._centres(len(self.floors[level]))
        edges = [MARGIN / 2, *(side for centre in centres for side in (centre - BOX / 2, centre + BOX / 2)),
                 WIDTH - MARGIN / 2]
        return [(left + right) / 2 for left, right in zip(edges[::2], edges[1::2], strict=True)]

    def _routes(self) -> dict[tuple[str, str], list[float]]:
        """For each arrow the gaps that it takes on the floors in between, as near to the straight line as can be."""
        routes = {}
        for room, others in self.imports.items():
            for other in others:
                (start, first), (end, last) = self.places[room], self.places[other]
                x, columns = start, []
                for level in range(first + 1, last):
                    aim = x + (end - x) / (last - level + 1)
                    x = min(self._gaps(level), key=lambda gap: abs(gap - aim))
                    columns.append(x)
                routes[room, other] = columns
        return routes

    def _arrows(self) -> None:
        routes = self._routes()
        starts, stops = self._ports(routes, 0), self._ports(routes, 1)
        lanes: dict[tuple[int, float], list[tuple[float, tuple[str, str]]]] = {}
        for pair, columns in routes.items():
            path = [starts[pair], *columns, stops[pair]]
            for step, x in enumerate(columns, 1):  # neighbours in a gap are ordered as where they come from and go to
                lane = lanes.setdefault((self.places[pair[0]][1] + step, x), [])
                lane.append((path[step - 1] + path[step + 1], pair))
        for pair, columns in routes.items():
            level = self.places[pair[0]][1]
            points = [(starts[pair], self._top(level) - HEIGHT)]
            for passed, x in enumerate(columns, level + 1):
                lane = sorted(lanes[passed, x])
                place = [other for _, other in lane].index(pair) - (len(lane) - 1) / 2
                points += [(x + LANE * place, self._top(passed)), (x + LANE * place, self._top(passed) - HEIGHT)]
            points.append((stops[pair], self._top(self.places[pair[1]][1])))
            self._curve(points, self.colours[pair[0]])

    def _ports(self, routes: Mapping[tuple[str, str], list[float]], end: int) -> dict[tuple[str, str], float]:
        """Where the arrows leave (end 0) or reach (end 1) their boxes, spread along the edge from left to right."""
        def way(pair: tuple[str, str]) -> list[float]:
            return [*routes[pair], self.places[pair[1]][0]] if end == 0 else \
                   [*routes[pair][::-1], self.places[pair[0]][0]]

        result = {}
        for room, (centre, _) in self.places.items():
            pairs = sorted((pair for pair in routes if pair[end] == room), key=way)
            for index, pair in enumerate(pairs):
                result[pair] = centre + BOX * 0.8 * ((index + 0.5) / len(pairs) - 0.5)
        return result

    def _curve(self, points: Sequence[tuple[float, float]], colour: str) -> None:
        """A line that leaves and arrives vertically, straight within floors and curved between them."""
        from matplotlib.patches import FancyArrowPatch
        from matplotlib.path import Path as Line

        vertices, codes = [points[0]], [Line.MOVETO]
        for index, ((x0, y0), (x1, y1)) in enumerate(zip(points, points[1:], strict=False)):
            if index % 2:
                vertices, codes = [*vertices, (x1, y1)], [*codes, Line.LINETO]
            else:
                bend = (y0 - y1) * 0.55
                vertices += [(x0, y0 - bend), (x1, y1 + bend), (x1, y1)]
                codes += [Line.CURVE4] * 3
        self.axes.add_patch(FancyArrowPatch(path=Line(vertices, codes), arrowstyle="-|>,head_length=5,head_width=2.6",
                                            color=colour, linewidth=1.5, alpha=0.9, zorder=2, shrinkA=0, shrinkB=0))


def draw(output: Path = PICTURE) -> None:
    """Write the picture."""
    content = shown()
    figure = Drawing(content["rooms"], content["base"], content["imports"]).figure
    figure.savefig(output, dpi=150, metadata={KEYWORD: json.dumps(content), "Software": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else PICTURE)
