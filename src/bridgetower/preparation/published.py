"""The published data sets that can be prepared, by their names on the command line.

The module of each is imported when its tables are asked for: help needs none of them, nor pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from . import splits
from .answer_classes import normalize_answer
from .tables import Settings, Table


@dataclass(frozen=True)
class DataSet:
    """How a data set becomes arrow files.

    Attributes:
        name: name on the command line, the key of the data set in configurations where it has one.
        summary: what is written.
        splits: names for `--splits`, in the order of writing.
        tables: yields the tables in turn; each is complete before the next is asked for.
        output: usual output folder, for the example of the help.
        needs_source: whether `--source` must be given.
        options: further command-line options that the data set reads, without dashes.
    """

    name: str
    summary: str
    splits: tuple[str, ...]
    tables: Callable[[Settings], Iterator[Table]]
    output: str = "data/fine-tune"
    needs_source: bool = True
    options: tuple[str, ...] = ()

    @property
    def example(self) -> str:
        """A complete command line."""
        source = "--source data " if self.needs_source else ""
        return f"python -m bridgetower.preparation {self.name} {source}--output {self.output}"


def _tables(module: str, function: str = "tables", **options: Any) -> Callable[[Settings], Iterator[Table]]:
    def tables(settings: Settings) -> Iterator[Table]:
        found: Iterator[Table] = getattr(import_module(f".{module}", __package__), function)(settings, **options)
        return found

    return tables


_ALL = (
    DataSet(
        "easy_vqa",
        "easy-VQA of the installed package: questions and captions",
        splits.EASY_VQA,
        _tables("easy_vqa"),
        output="data/easy_vqa",
        needs_source=False,
    ),
    DataSet(
        "coco",
        "COCO captions in the Karpathy splits (copy them to fine-tune for retrieval)",
        splits.COCO,
        _tables("karpathy", "coco_tables"),
        output="data/pre-train",
    ),
    DataSet(
        "f30k",
        "Flickr30k captions in the Karpathy splits",
        splits.FLICKR30K,
        _tables("karpathy", "flickr30k_tables"),
    ),
    DataSet(
        "gcc",
        "Conceptual Captions (CC3M)",
        splits.CC,
        _tables("web_captions", "cc_tables"),
        output="data/pre-train",
        options=("shard_size", "raw_tsv"),
    ),
    DataSet(
        "cc12m",
        "Conceptual 12M, from the tar shards of img2dataset",
        splits.CC12M,
        _tables("web_captions", "cc12m_tables"),
        output="data/pre-train",
    ),
    DataSet(
        "sbu",
        "SBU captions",
        splits.SBU,
        _tables("web_captions", "sbu_tables"),
        output="data/pre-train",
        options=("shard_size",),
    ),
    DataSet(
        "vg",
        "Visual Genome region descriptions as captions",
        splits.VISUAL_GENOME,
        _tables("visual_genome"),
        output="data/pre-train",
    ),
    DataSet(
        "vqa",
        "VQAv2, the files *_fix for training and validation",
        splits.VQAV2,
        _tables("vqav2", suffix="_fix", normalize=normalize_answer),
        options=("held_out",),
    ),
    DataSet(
        "vqa_legacy",
        "VQAv2 as first released: raw answers are compared with the vocabulary",
        splits.VQAV2,
        _tables("vqav2", suffix="", normalize=str),
        options=("held_out",),
    ),
    DataSet(
        "vgqa",
        "VG-QA of all images (needs vgqa_split first)",
        splits.VGQA,
        _tables("vgqa", "all_tables"),
    ),
    DataSet(
        "vgqa_coco",
        "VG-QA of the images that COCO has too (needs vgqa_split first)",
        splits.VGQA,
        _tables("vgqa", "coco_tables"),
    ),
    DataSet("snli", "SNLI-VE, visual entailment", splits.SNLI_VE, _tables("snli_ve")),
    DataSet("nlvr2", "NLVR2, sentences about image pairs", splits.NLVR2, _tables("nlvr2")),
)
DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in _ALL}
