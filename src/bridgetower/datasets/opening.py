"""Opens the data sets that an experiment names."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from .arrow import find_shards, find_table
from .image_text import DatasetOptions, ImageTextDataset
from .shard_paths import is_shard_pattern, shard_paths
from .shard_table import open_shards
from .source import Source, Table
from .specs import DATASETS, DatasetSpec, Split, dataset_spec

__all__ = ["build_dataset"]

logger = logging.getLogger(__name__)


def build_dataset(
    names: Sequence[str], split: Split, data_root: str | os.PathLike[str], options: DatasetOptions
) -> ImageTextDataset:
    """Open the tables of one split of one or more data sets, one after the other.

    Args:
        names: keys of `DATASETS`, such as ("coco", "vg"), names of own tables, or tar shards such as
            "shards/{000..331}.tar", which are for training. A data set without tables for the split adds no samples.
        split: "train", "val" or "test".
        data_root: the folder of the arrow files.
        options: how samples are made.

    Raises:
        KeyError: an unknown data set, or a table without a needed column.
        ValueError: data sets of different kinds, such as captions and questions.
        FileNotFoundError: a missing table, with its path and the command that makes it, or missing shards.
    """
    root = Path(data_root).expanduser()
    specs = [dataset_spec(name, root) for name in names]
    if len({spec.kind for spec in specs}) > 1:
        kinds = ", ".join(f"{spec.key} ({spec.kind})" for spec in specs)
        raise ValueError(f"data sets of different kinds cannot be joined: {kinds}; choose those of one kind")
    sources = []
    for name, spec in zip(names, specs, strict=True):
        source = Source(spec, _open_tables(spec, split, root, options), options.mode, options.debug_limit)
        sources.append(source)
        logger.info("%s %s: %d images, %d samples", name, split, source.num_rows, len(source))
    return ImageTextDataset(sources, options)


def _open_tables(spec: DatasetSpec, split: Split, root: Path, options: DatasetOptions) -> list[Table]:
    names = spec.tables(split, options.clean_splits)
    if is_shard_pattern(spec.key):
        return [table for name in names for table in open_shards(shard_paths(name, root), spec.key)]
    if spec.shards:
        tables = [(prefix, table) for prefix in names for table in find_shards(root, prefix)]
        for prefix, table in tables:
            if spec.key not in DATASETS:  # own tables are measured as one, however many files they have
                table.name = prefix
        return [table for _, table in tables]
    if spec.key == "vqa" and split == "train":
        names += options.vqa_extra_train_tables
    return [find_table(root, name) for name in names]
