"""Own pictures into tables: `preparation table` beside decoding alone and beside the Parquet writer of `datasets`.

    python benchmarks/bench_table.py [--pictures 3000] [--rounds 3] [--folder DIR] [--output results.json]

JPEG files of 384x288 pixels, listed in a CSV file with a caption each. Times are of processor, in one process, so that
other programs on the machine hardly count. `table` reads every picture, decodes it to find broken ones, and divides
them into splits; `datasets` stores their bytes without a look at them.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import arguments, machine


def write_pictures(folder: Path, count: int) -> Path:
    """Pictures with shapes and noise, and their CSV file; all differ."""
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    with open(folder / "captions.csv", "w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file_name", "text"])
        for number in range(count):
            small = rng.integers(0, 256, (36, 48, 3), dtype=np.uint8)
            picture = Image.fromarray(small).resize((384, 288), Image.Resampling.BICUBIC)
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=90)
            (folder / f"{number:06}.jpg").write_bytes(stream.getvalue())
            lines.writerow([f"{number:06}.jpg", f"picture number {number}"])
    return folder / "captions.csv"


def decode(source: Path, output: Path) -> None:
    """Read and decode every picture."""
    from PIL import Image

    for path in sorted(source.parent.glob("*.jpg")):
        Image.open(io.BytesIO(path.read_bytes())).load()


def table(source: Path, output: Path) -> None:
    """What the command `table` does with one worker."""
    from bridgetower.preparation.images import ImageReader
    from bridgetower.preparation.own_data.own_tables import build_tables
    from bridgetower.preparation.own_data.part_writer import Request

    with ImageReader(1) as reader:
        build_tables(Request((str(source),), "caption", output, "mine"), reader)


def parquet(source: Path, output: Path) -> None:
    """The same rows through the `datasets` library to a Parquet file."""
    import datasets

    def rows() -> Any:
        with source.open(newline="") as file:
            for row in csv.DictReader(file):
                picture = (source.parent / row["file_name"]).read_bytes()
                yield {"image": {"bytes": picture, "path": row["file_name"]}, "text": row["text"]}

    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    made = datasets.Dataset.from_generator(rows, features=features, cache_dir=str(output / "cache"))
    made.to_parquet(str(output / "mine.parquet"))


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--pictures", type=int, default=3000, help="how many (3000)")
    parser.add_argument("--folder", type=Path, help="where to write (the system's temporary folder)")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    cases: dict[str, Callable[[Path, Path], None]] = {
        "decoding alone": decode, "preparation table": table, "datasets, Parquet": parquet}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        source = write_pictures(Path(temporary) / "pictures", args.pictures)
        for number in range(args.rounds + 1):
            for name, run in cases.items():
                output = Path(temporary) / f"{name} {number}"
                output.mkdir()
                start = time.process_time()
                run(source, output)
                if number:  # the first round pays for imports
                    seconds[name].append(time.process_time() - start)
    print(f"{args.pictures} JPEG pictures of 384x288\n\n"
          "| what | processor seconds: median (min-max) | beside decoding | pictures per minute |\n"
          "| --- | --- | --- | --- |")
    base = statistics.median(seconds["decoding alone"])
    for name, found in seconds.items():
        median = statistics.median(found)
        print(f"| {name} | {median:.2f} ({min(found):.2f}-{max(found):.2f}) | {median / base:.2f} "
              f"| {args.pictures / median * 60:,.0f} |")
    if args.output:
        args.output.write_text(json.dumps({"machine": machine(), "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
