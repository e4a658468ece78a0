"""The published data sets that can be prepared, by their names on the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from . import easy_vqa, karpathy, nlvr2, snli_ve, vgqa, visual_genome, vqav2, web_captions
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


_ALL = (
    DataSet(
        "easy_vqa",
        "easy-VQA of the installed package: questions and captions",
        easy_vqa.SPLITS,
        easy_vqa.tables,
        output="data/easy_vqa",
        needs_source=False,
    ),
    DataSet(
        "coco",
        "COCO captions in the Karpathy splits (copy them to fine-tune for retrieval)",
        karpathy.COCO.splits,
        partial(karpathy.tables, collection=karpathy.COCO),
        output="data/pre-train",
    ),
    DataSet(
        "f30k",
        "Flickr30k captions in the Karpathy splits",
        karpathy.FLICKR30K.splits,
        partial(karpathy.tables, collection=karpathy.FLICKR30K),
    ),
    DataSet(
        "gcc",
        "Conceptual Captions (CC3M)",
        web_captions.CC_SPLITS,
        web_captions.cc_tables,
        output="data/pre-train",
        options=("shard_size", "raw_tsv"),
    ),
    DataSet(
        "cc12m",
        "Conceptual 12M, from the tar shards of img2dataset",
        web_captions.CC12M_SPLITS,
        web_captions.cc12m_tables,
        output="data/pre-train",
    ),
    DataSet(
        "sbu",
        "SBU captions",
        web_captions.SBU_SPLITS,
        web_captions.sbu_tables,
        output="data/pre-train",
        options=("shard_size",),
    ),
    DataSet(
        "vg",
        "Visual Genome region descriptions as captions",
        visual_genome.SPLITS,
        visual_genome.tables,
        output="data/pre-train",
    ),
    DataSet(
        "vqa",
        "VQAv2, the files *_fix for training and validation",
        vqav2.SPLITS,
        partial(vqav2.tables, suffix="_fix", normalize=normalize_answer),
        options=("held_out",),
    ),
    DataSet(
        "vqa_legacy",
        "VQAv2 as first released: raw answers are compared with the vocabulary",
        vqav2.SPLITS,
        partial(vqav2.tables, suffix="", normalize=str),
        options=("held_out",),
    ),
    DataSet(
        "vgqa",
        "VG-QA of all images (needs vgqa_split first)",
        vgqa.SPLITS,
        partial(vgqa.tables, name="vgqa", ids_file=vgqa.ALL_IDS),
    ),
    DataSet(
        "vgqa_coco",
        "VG-QA of the images that COCO has too (needs vgqa_split first)",
        vgqa.SPLITS,
        partial(vgqa.tables, name="vgqa_coco", ids_file=vgqa.COCO_IDS),
    ),
    DataSet("snli", "SNLI-VE, visual entailment", snli_ve.SPLITS, snli_ve.tables),
    DataSet("nlvr2", "NLVR2, sentences about image pairs", nlvr2.SPLITS, nlvr2.tables),
)
DATA_SETS: dict[str, DataSet] = {data_set.name: data_set for data_set in _ALL}
