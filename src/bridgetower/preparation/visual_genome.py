"""Visual Genome captions: every region description of an image, with its box."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from .json_stream import stream_array
from .schemas import VG_CAPTIONS
from .tables import Row, Settings, Table, image_number, list_images, shuffled

BOX = ("width", "height", "x", "y")


def vg_file(settings: Settings, name: str, **hint: str) -> Path:
    """A file of Visual Genome, below `vg/` or directly below the source."""
    return settings.find(f"vg/{name}", name, **hint)


def find_images(settings: Settings, numbers: set[int]) -> tuple[list[str], list[str]]:
    """Paths of the wanted images in row order, and what those that are missing would be called."""
    folders = [vg_file(settings, f"images/{name}") for name in ("VG_100K", "VG_100K_2")]
    paths = shuffled(list_images(folders, ".jpg"), settings.seed)
    found = set(map(image_number, paths))
    missing = [str(folders[0] / f"{number}.jpg") for number in sorted(numbers - found)]
    return [path for path in paths if image_number(path) in numbers], missing


def tables(settings: Settings) -> Iterator[Table]:
    """The single table `vg`."""
    # Millions of regions: compressed, an image's take about a kilobyte.
    packed: dict[int, bytes] = {}
    shape = {"regions": [{"image_id": int, "phrase": str, **dict.fromkeys(BOX, int)}]}
    for entry in stream_array(vg_file(settings, "annotations/region_descriptions.json"), None, shape):
        regions = entry["regions"]
        if regions:
            columns = [[region[key] for region in regions] for key in ("phrase", *BOX)]
            packed[regions[0]["image_id"]] = zlib.compress(json.dumps(columns).encode(), 1)
    items, missing = find_images(settings, set(packed))

    def row(path: str) -> Row:
        columns = json.loads(zlib.decompress(packed[image_number(path)]))
        values = dict(zip(("caption", *BOX), columns, strict=True))
        return Row((Path(path),), values | {"image_id": str(image_number(path))})

    yield Table("vg", VG_CAPTIONS, items, row, missing)
