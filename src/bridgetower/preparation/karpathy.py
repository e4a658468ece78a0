"""COCO and Flickr30k captions in the splits of Karpathy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import splits
from .annotation_shapes import FileName
from .json_stream import Unique, stream_array
from .schemas import CAPTIONS
from .tables import Settings, Table, caption_rows, list_images, shuffled

ROOT = "mscoco_flickr30k_vqav2_snli_ve"


@dataclass(frozen=True)
class Collection:
    """One annotation file and the folders of its images."""

    prefix: str
    annotations: str
    folders: tuple[str, ...]
    splits: tuple[str, ...]


COCO = Collection(
    "coco_caption_karpathy", "dataset_coco.json", ("train2014", "val2014"), splits.COCO
)
_IMAGE = {"filename": FileName, "split": str, "sentences": [{"raw": str}]}
FLICKR30K = Collection(
    "f30k_caption_karpathy", "dataset_flickr30k.json", ("flickr30k-images",), splits.FLICKR30K
)


def tables(settings: Settings, collection: Collection) -> Iterator[Table]:
    """One table per split; the order of all images is drawn once and then filtered by split."""
    path = settings.find(f"{ROOT}/karpathy/{collection.annotations}", f"karpathy/{collection.annotations}")
    captions: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {split: [] for split in collection.splits}
    unique = Unique(path, "filename")
    for image in stream_array(path, "images", _IMAGE):
        if unique.take(image["filename"]) and image["split"] in names:
            names[image["split"]].append(image["filename"])
            captions[image["filename"]] = [sentence["raw"] for sentence in image["sentences"]]
    folders = [settings.find(f"{ROOT}/{folder}", folder) for folder in collection.folders]
    paths = shuffled(list_images(folders, ".jpg"), settings.seed)
    found = set(map(os.path.basename, paths))
    for split in filter(settings.wants, collection.splits):
        members = set(names[split])
        items = [path for path in paths if os.path.basename(path) in members]
        missing = [_expected_path(folders, name) for name in names[split] if name not in found]
        row = caption_rows(captions.__getitem__, split)
        yield Table(f"{collection.prefix}_{split}", CAPTIONS, items, row, missing)


def _expected_path(folders: list[Path], name: str) -> str:
    # The names of COCO images contain the name of their folder.
    return str(next((folder for folder in folders if folder.name in name), folders[0]) / name)


coco_tables = partial(tables, collection=COCO)
flickr30k_tables = partial(tables, collection=FLICKR30K)
