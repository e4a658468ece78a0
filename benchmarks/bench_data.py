"""Images per second and core, loader processes, and memory over a large arrow file.

    python benchmarks/bench_data.py [--only transforms loader memory] [--rounds 9] [--output results.json]

- transforms: JPEG files of 640x480 pixels to batches of 288 pixels (`clip`) and 384 (`blip_randaug_wc`), one thread a
  side. The peer does the original's steps with Pillow and torch tensors, as torchvision does them, and draws the same
  augmentations: the results must be equal. It scales along the rows first, as the original's Pillow does; one call of
  `resize` of Pillow 13 gives other bytes for some crops.
- loader: batches of `clip` at 288 pixels out of an arrow file through 0, 1 and 2 loader processes.
- memory: opens an arrow file of more than 2 GB, which is written for it, and reads 500 samples of it at random.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import Cases, arguments, compare, machine, report

TARGET = 1.3
IMAGES = 32  # a timed run
CASES = {"clip": 288, "blip_randaug_wc": 384}
BATCH = 8
LOADED = 192  # samples an epoch of the loader
ROWS_A_BATCH = 128
LARGE_FILE = 2.2e9  # bytes


def jpeg(seed: int) -> bytes:
    """A picture of 640x480 pixels with shapes and noise of all sizes: about 90 KB, what a photograph takes."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    pixels = np.full((480, 640, 3), 128.0)
    for cells, strength in ((4, 90), (16, 60), (64, 30), (160, 15), (640, 4)):
        small = rng.normal(0, strength, (cells * 3 // 4, cells, 3))
        scaled = [Image.fromarray(small[..., channel].astype(np.float32)).resize((640, 480), Image.Resampling.BICUBIC)
                  for channel in range(3)]
        pixels += np.stack([np.asarray(channel) for channel in scaled], axis=-1)
    stream = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def ours(threads: int) -> Cases:
    """Our transforms over all images, stacked to batches, in a process with the settings that `train.py` makes."""
    from bridgetower.datasets.unreadable import open_image
    from bridgetower.inputs.transforms import build_transform
    from bridgetower.runtime import tune_cpu

    tune_cpu()  # loader processes inherit it
    files = [jpeg(seed) for seed in range(IMAGES)]

    def case(key: str, size: int) -> Callable[[], list[np.ndarray]]:
        transform = build_transform(key, size)

        def run() -> list[np.ndarray]:
            views = [transform(open_image(memoryview(file), "a picture"), np.random.default_rng(seed))
                     for seed, file in enumerate(files)]
            return [np.stack(views[start:start + BATCH]) for start in range(0, IMAGES, BATCH)]

        return run

    return {f"{key} {size}": case(key, size) for key, size in CASES.items()}


def peer(threads: int) -> Cases:
    """The original's steps over all images, stacked to batches."""
    import torch
    from PIL import Image

    torch.set_num_threads(threads)
    files = [jpeg(seed) for seed in range(IMAGES)]
    steps = {"clip": _peer_clip, "blip_randaug_wc": _peer_augmented}

    def case(key: str, size: int) -> Callable[[], list[np.ndarray]]:
        def run() -> list[np.ndarray]:
            views = [_peer_tensor(steps[key](Image.open(io.BytesIO(file)), size, np.random.default_rng(seed)))
                     for seed, file in enumerate(files)]
            return [torch.stack(views[start:start + BATCH]).numpy() for start in range(0, IMAGES, BATCH)]

        return run

    return {f"{key} {size}": case(key, size) for key, size in CASES.items()}


def _peer_clip(image: Any, size: int, rng: np.random.Generator) -> Any:
    """The way through RGBA: shorter side to `size`, centre crop."""
    from PIL import Image

    image = image.convert("RGBA")
    width, height = image.size
    long = (size, int(size * height / width)) if width <= height else (int(size * width / height), size)
    image = image.resize(long, Image.Resampling.BICUBIC)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size)).convert("RGB")


def _peer_augmented(image: Any, size: int, rng: np.random.Generator) -> Any:
    """Random crop, flip, two operations, each a pass over the picture. The draws are those of our transform."""
    from PIL import Image

    from bridgetower.inputs.transforms.geometry import RandomResizedCrop

    image = image.convert("RGB")
    left, top, width, height = RandomResizedCrop(size, 0.5).box(image.width, image.height, rng)
    image = image.crop((left, top, left + width, top + height))
    image = image.resize((size, height), Image.Resampling.BICUBIC).resize((size, size), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for number in rng.integers(14, size=2):
        image = _peer_operation(image, int(number), rng)
    return image.convert("RGB")


def _peer_operation(image: Any, number: int, rng: np.random.Generator) -> Any:
    """An operation of RandAugment at strength 7, by its place in the list."""
    from PIL import Image, ImageEnhance, ImageOps

    def turned(low: float, high: float) -> float:
        return low + 7 / 30 * (high - low)

    def sign() -> int:
        return -1 if rng.random() > 0.5 else 1

    def warp(*coefficients: float) -> Any:
        return image.transform(image.size, Image.Transform.AFFINE, coefficients)

    factor = turned(0.1, 1.9)
    if number == 0:
        return ImageOps.autocontrast(image)
    if number == 1:
        return ImageOps.equalize(image)
    if number == 2:
        return image.rotate(sign() * turned(0, 30))
    if number == 3:
        return ImageOps.posterize(image, 1)
    if number == 4:
        return ImageOps.solarize(image, turned(0, 256))
    if number == 5:
        values = np.clip(np.array(image).astype(int) + turned(0, 110), 0, 255).astype(np.uint8)
        return ImageOps.solarize(Image.fromarray(values), 128)
    if number < 10:
        kinds = (ImageEnhance.Color, ImageEnhance.Contrast, ImageEnhance.Brightness, ImageEnhance.Sharpness)
        return kinds[number - 6](image).enhance(factor)
    value = sign() * (turned(0, 0.3) if number < 12 else turned(0, 100))
    return warp(*{10: (1, value, 0, 0, 1, 0), 11: (1, 0, 0, value, 1, 0), 12: (1, 0, value, 0, 1, 0),
                  13: (1, 0, 0, 0, 1, value)}[number])


def _peer_tensor(image: Any) -> Any:
    """ToTensor and Normalize."""
    import torch

    from bridgetower.inputs.transforms import CLIP

    tensor = torch.from_numpy(np.array(image, copy=True)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (CLIP.mean, CLIP.std))
    return tensor.clone().sub_(mean).div_(std)


def write_captions(folder: Path, num_bytes: float, split: str = "train") -> Path:
    """An arrow file of captions of at least so many bytes, written a few rows at a time."""
    import pyarrow as pa

    from bridgetower.preparation.schemas import CAPTIONS

    files = [jpeg(seed) for seed in range(IMAGES)]
    path = folder / f"easy_vqa_caption_{split}.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, CAPTIONS) as writer:
        while sink.tell() < num_bytes:
            rows = [{"image": files[row % IMAGES], "caption": ["a picture"], "image_id": str(row), "split": split}
                    for row in range(ROWS_A_BATCH)]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=CAPTIONS))
    return path


def open_captions(folder: Path) -> Any:
    """The pictures of `write_captions` as a dataset, without their texts."""
    from bridgetower.datasets import DatasetOptions, build_dataset

    options = DatasetOptions(image_size=288, transform="clip", mode="image_only")
    return build_dataset(["easy_vqa_caption"], "train", folder, options)


class _FirstSamples:
    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return LOADED

    def __getitem__(self, index: int) -> Any:
        return self._dataset[index]


def _stacked(samples: Sequence[Any]) -> dict[str, np.ndarray]:
    return {"pixel_values": np.stack([sample.pixel_values for sample in samples])}


def measure_loader(folder: Path, rounds: int) -> list[dict[str, Any]]:
    """Images per second of an epoch with each number of loader processes, in turn."""
    from paddle.io import BatchSampler

    from bridgetower.datasets.loader import CarefulLoader

    dataset = _FirstSamples(open_captions(folder))
    rates: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(rounds):
        for workers, found in rates.items():
            loader = CarefulLoader(dataset, batch_sampler=BatchSampler(dataset, batch_size=BATCH), collate_fn=_stacked,
                                   num_workers=workers)
            start, seconds = time.perf_counter(), 0.0
            for number, _batch in enumerate(loader):
                if number == 0:  # what the processes take to start is not their rate
                    start = time.perf_counter()
            seconds = time.perf_counter() - start
            found.append((LOADED - BATCH) / seconds)
    return [{"workers": workers, "images_per_second": found} for workers, found in rates.items()]


def _memory() -> dict[str, int]:
    """Bytes of this process in memory: its own, and pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(lines[key].split()[0]) * 1024 for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}


def _read_large(folder: Path, link: Any) -> None:
    import pyarrow as pa

    from bridgetower.inputs.transforms import build_transform

    picture = np.zeros((480, 640, 3), np.uint8)
    from PIL import Image

    build_transform("clip", 288)(Image.fromarray(picture))  # what the libraries allocate once
    before = _memory()
    dataset = open_captions(folder)
    opened = _memory()
    for index in np.random.default_rng(0).integers(len(dataset), size=500):
        dataset[int(index)]
    link.send({"before": before, "opened": opened, "read": _memory(), "arrow": pa.total_allocated_bytes(),
               "rows": len(dataset)})


def measure_memory(folder: Path) -> dict[str, Any]:
    """Memory of a fresh process that opens the large file and reads 500 samples."""
    path = write_captions(folder, LARGE_FILE)
    context = multiprocessing.get_context("spawn")
    link, other = context.Pipe()
    process = context.Process(target=_read_large, args=(folder, other), daemon=True)
    process.start()
    found = link.recv()
    process.join()
    return {**found, "file": path.stat().st_size}


def print_memory(found: dict[str, Any]) -> None:
    """The table of `measure_memory`."""
    print(f"\nArrow file of {found['file'] / 1e9:.2f} GB, {found['rows']} images; Arrow allocated {found['arrow']} "
          "bytes\n\n| memory of the process | its own | pages of files |\n| --- | --- | --- |")
    for state, name in (("before", "before"), ("opened", "file opened"), ("read", "500 random samples read")):
        print(f"| {name} | {found[state]['own'] / 1e6:.0f} MB | {found[state]['mapped'] / 1e6:.0f} MB |")


def main() -> None:
    """Measure what was asked for, print tables, write JSON."""
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--only", nargs="+", choices=("transforms", "loader", "memory"),
                        default=("transforms", "loader", "memory"), help="what to measure (all)")
    parser.add_argument("--folder", type=Path, help="where to write the arrow files (the system's temporary folder)")
    parser.set_defaults(threads=1)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    results: dict[str, Any] = {"machine": machine()}
    if "transforms" in args.only:
        results["transforms"] = _measure_transforms(args)
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        if "loader" in args.only:
            write_captions(folder, LOADED * 100e3)
            results["loader"] = measure_loader(folder, args.rounds)
            print("\n| loader processes | images per second: median (min-max) |\n| --- | --- |")
            for row in results["loader"]:
                rates = row["images_per_second"]
                print(f"| {row['workers']} | {statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f}) |")
        if "memory" in args.only:
            free = shutil.disk_usage(folder).free
            if free < 1.5 * LARGE_FILE:
                print(f"\nmemory: not measured, {folder} has {free / 1e9:.1f} GB free; name another --folder")
            else:
                results["memory"] = measure_memory(folder)
                print_memory(results["memory"])
    if args.output:
        args.output.write_text(json.dumps(results, indent=2) + "\n")


def _measure_transforms(args: argparse.Namespace) -> list[dict[str, Any]]:
    comparisons = compare(ours, peer, args, tolerance=0.0)
    report(f"{IMAGES} JPEG files of 640x480", comparisons, argparse.Namespace(**{**vars(args), "output": None}),
           target=TARGET)
    print("\n| images per second and core | ours | peer |\n| --- | --- | --- |")
    for one in comparisons:
        rates = (IMAGES / statistics.median(seconds) for seconds in (one.ours, one.peer))
        print("| " + " | ".join([one.case, *(f"{rate:.0f}" for rate in rates)]) + " |")
    return [{**vars(one), "ratio": one.ratio} for one in comparisons]


if __name__ == "__main__":
    main()
