"""CIFAR-10 and CIFAR-100: the binary files of their authors, or the tables of the `datasets` library."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..inputs.transforms import build_transform
from ..picture_files.picture_reading import to_eight_bits
from .labelled import LabelledDataset, find_split, read_table
from .samples import Sample
from .unreadable import open_image

__all__ = ["CIFAR", "CifarDataset"]

#: Classes of each data set.
CIFAR = {"cifar10": 10, "cifar100": 100}
#: Binary files of each split.
_BINARY = {
    ("cifar10", "train"): tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    ("cifar10", "test"): ("test_batch.bin",),
    ("cifar100", "train"): ("train.bin",),
    ("cifar100", "test"): ("test.bin",),
}
#: Label bytes before the 3072 of a picture; the last of them is the class.
_LABEL_BYTES = {"cifar10": 1, "cifar100": 2}
_SIDE = 32
_PICTURE = 3 * _SIDE * _SIDE


class CifarDataset(LabelledDataset):
    """Pictures of 32x32 pixels and their classes."""

    def __init__(self, name: str, split: Literal["train", "val", "test"], data_root: str | os.PathLike[str],
                 image_size: int, transform_key: str = "clip", limit: int = 0, num_channels: int = 3) -> None:
        """Open a split of `data_root/cifar10` or `data_root/cifar100`.

        Args:
            name: one of `CIFAR`.
            split: validation reads the test pictures, as the original does.
            data_root: the folder of the data sets.
            image_size: S in pixels.
            transform_key: an image transform that draws nothing.
            limit: keep only the first pictures; 0 keeps all.
            num_channels: 3, or 1 for grey.

        Raises:
            KeyError: an unknown name.
            FileNotFoundError: no files of the split.
            ValueError: files of a wrong length or labels out of range.
        """
        if name not in CIFAR:
            raise KeyError(f"unknown data set {name!r} of the cifar task; use {' or '.join(CIFAR)}")
        part = "train" if split == "train" else "test"
        folder = Path(data_root).expanduser() / name
        self._picture: Callable[[int], Image.Image]
        if any(folder.glob("*.bin")):
            self._open_binary(folder, name, part)
        else:
            self._open_tables(folder, name, part)
        if len(self._labels) and not 0 <= self._labels.min() <= self._labels.max() < CIFAR[name]:
            raise ValueError(f"{folder}: labels from {self._labels.min()} to {self._labels.max()} are not the "
                             f"{CIFAR[name]} classes of {name}; download it again")
        super().__init__(name, CIFAR[name], [f"{name}_{part}"], [len(self._labels)], limit)
        self._transform = build_transform(transform_key, image_size, num_channels)
        if self._transform.is_random:
            raise ValueError(f"transform {transform_key!r} is random; CIFAR is read without augmentation: use 'clip'")

    def _open_binary(self, folder: Path, name: str, part: str) -> None:
        label_bytes = _LABEL_BYTES[name]
        size = label_bytes + _PICTURE
        rows = []
        for file in (folder / file for file in _BINARY[name, part]):
            if not file.is_file():
                raise FileNotFoundError(f"{file} does not exist; unpack the binary version of {name} into {folder}")
            if file.stat().st_size % size:
                raise ValueError(f"{file} has {file.stat().st_size} bytes, no multiple of {size}; download it again")
            rows.append(np.fromfile(file, np.uint8).reshape(-1, size))
        data = np.concatenate(rows)
        self._labels = data[:, label_bytes - 1].astype(np.int64)
        pixels = data[:, label_bytes:].reshape(-1, 3, _SIDE, _SIDE)
        self._picture = lambda row: Image.fromarray(np.ascontiguousarray(pixels[row].transpose(1, 2, 0)))

    def _open_tables(self, folder: Path, name: str, part: str) -> None:
        files = find_split(folder, part)
        table = read_table(files, ["img", "label" if name == "cifar10" else "fine_label"])
        self._labels = table.column(1).to_numpy().astype(np.int64)
        images = table.column(0)

        def picture(row: int) -> Image.Image:
            data = images[row].as_py()
            encoded = data["bytes"] if isinstance(data, dict) else data
            return to_eight_bits(open_image(memoryview(encoded), f"{folder} {part} row {row}"))

        self._picture = picture

    def __getitem__(self, index: int) -> Sample:
        """Make a sample.

        Raises:
            UnreadableImageError: the picture does not decode.
        """
        table, row = self._locate(index)
        pixels = self._transform(self._picture(row).convert("RGB"), None)
        return Sample(0, 0, index, index, table, pixel_values=pixels, label=int(self._labels[row]))
