"""The paper's comparisons: each is a list of variants of one experiment, as settings that change and towers to use.

`scripts/ablation.sh NAME` trains the variants and prints their table. This module lists them for it
(`python -m bridgetower.report.ablations commands NAME`) and makes the table (`... table NAME FOLDER`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..exits import guarded

__all__ = ["COMPARISONS", "Variant", "main", "table"]


@dataclass(frozen=True)
class Variant:
    """One row of a comparison.

    Attributes:
        name: of its output folder.
        label: what the table calls it.
        settings: changes to the experiment, for train.py's `--set`.
        image_tower: weights of another image tower than the script's.
        text_tower: weights of another text tower than the script's.
        paper: the paper's VQAv2 test-dev score and Flickr30k RSUM, trained without vision-language pre-training.
    """

    name: str
    label: str
    settings: tuple[str, ...] = ()
    image_tower: str = ""
    text_tower: str = ""
    paper: tuple[float, float] | None = None

    def flags(self) -> list[str]:
        """The flags of train.py that make the variant, except those of the towers, which a checkpoint excludes."""
        return ["--set", *self.settings] if self.settings else []


_METER = "model.num_bridges=0"


def _bridges() -> list[Variant]:
    rows = [("add", "(a) x + y", 75.18, 533.8), ("multiply", "(b) x * y", 73.41, 530.4),
            ("gate", "(c) a x + (1 - a) y, a a vector", 75.09, 532.9),
            ("dynamic_gate", "(d) a x + (1 - a) y, a = sigmoid(W [x; y])", 75.13, 533.1),
            ("linear", "(e) W [x; y]", 74.55, 532.2), ("mlp", "(f) W2 GeLU(W1 [x; y])", 74.26, 530.2),
            ("cross_attention", "(g) MCA(x, y)", 73.67, 514.3),
            ("cross_attention_mlp", "(h) FFN(MCA(x, y))", 73.54, 511.1),
            ("add_linear", "(i) x + y + W [x; y]", 75.10, 533.1)]
    return [Variant(kind, label, (f"model.bridge_type={kind}",), paper=(vqa, rsum)) for kind, label, vqa, rsum in rows]


def _layers() -> list[Variant]:
    rows = {2: (72.84, 526.0, 74.12, 527.1), 3: (73.47, 526.5, 74.36, 528.6), 4: (73.71, 527.9, 75.00, 529.7),
            5: (73.80, 528.8, 74.98, 531.8), 6: (74.04, 530.7, 75.18, 533.8), 8: (73.97, 530.0, 75.07, 531.6),
            10: (73.45, 529.6, 75.06, 531.7), 12: (71.88, 528.7, 74.94, 531.4)}
    variants = []
    for depth, paper in rows.items():
        setting = f"model.num_hidden_layers={depth}"
        variants += [Variant(f"{depth}_meter", f"{depth} layers, METER", (setting, _METER), paper=paper[:2]),
                     Variant(f"{depth}_bridgetower", f"{depth} layers, BridgeTower", (setting,), paper=paper[2:])]
    return variants


def _bridge_counts() -> list[Variant]:
    rows = {6: (75.18, 533.8), 4: (75.06, 533.1), 3: (74.97, 532.8), 2: (74.71, 532.3), 0: (74.04, 530.7)}
    return [Variant(f"{count}_internal", f"{count} internal, {6 - count} external" + (" (METER)" if not count else ""),
                    ("model.num_hidden_layers=6", f"model.num_bridges={count}"), paper=paper)
            for count, paper in rows.items()]


def _backbones() -> list[Variant]:
    bert = ("model.text_tower=bert-base-uncased", "data.tokenizer=bert-base-uncased")
    large = ("model.image_tower=CLIP-ViT-L/14", "data.image_size=574")
    rows: list[tuple[str, str, tuple[str, ...], str, str, tuple[float, float, float, float] | None]] = [
        ("deit16_224", "DeiT B-224/16, RoBERTa", ("model.image_tower=vit_deit_base_patch16_224",),
         "facebook/deit-base-patch16-224", "", (69.98, 448.0, 70.83, 455.7)),
        ("vit16_224", "ViT B-224/16, RoBERTa", ("model.image_tower=vit_base_patch16_224",),
         "google/vit-base-patch16-224", "", (70.26, 472.7, 72.24, 476.9)),
        ("vit16_384", "ViT B-384/16, RoBERTa", ("model.image_tower=vit_base_patch16_384",),
         "google/vit-base-patch16-384", "", (70.52, 472.8, 72.38, 477.1)),
        ("clip32", "CLIP-ViT-B/32, RoBERTa", ("model.image_tower=CLIP-ViT-B/32",),
         "openai/clip-vit-base-patch32", "", (72.19, 508.8, 72.91, 512.0)),
        ("clip16_bert", "CLIP-ViT-B/16, BERT", ("model.image_tower=CLIP-ViT-B/16", *bert),
         "openai/clip-vit-base-patch16", "google-bert/bert-base-uncased", (74.09, 522.1, 74.89, 526.5)),
        ("clip16", "CLIP-ViT-B/16, RoBERTa", ("model.image_tower=CLIP-ViT-B/16",),
         "openai/clip-vit-base-patch16", "", (74.04, 530.7, 75.18, 533.8)),
        ("clip14_large", "CLIP-ViT-L/14, RoBERTa", large, "openai/clip-vit-large-patch14", "", None),
    ]
    variants = []
    for name, label, settings, image, text, paper in rows:
        variants += [Variant(f"{name}_meter", f"{label}, METER", (*settings, _METER), image, text,
                             paper[:2] if paper else None),
                     Variant(f"{name}_bridgetower", f"{label}, BridgeTower", settings, image, text,
                             paper[2:] if paper else None)]
    return variants


def _meter() -> list[Variant]:
    return [Variant("bridgetower", "BridgeTower", paper=(75.18, 533.8)),
            Variant("meter", "METER", (_METER,), paper=(74.04, 530.7)),
            Variant("meter_fusion", "METER with gated fusion of all blocks", (_METER, "model.gated_fusion=true"))]


#: Name of a comparison -> its variants, in the order of the paper's table.
COMPARISONS: Mapping[str, list[Variant]] = {
    "bridges": _bridges(), "layers": _layers(), "bridge_counts": _bridge_counts(), "backbones": _backbones(),
    "meter": _meter()}


def _parameters(settings: Mapping[str, Any]) -> tuple[float, float]:
    """Millions of parameters of a model, and of its cross-modal layers and bridges; no memory is taken for them."""
    import numpy as np
    import paddle

    from ..config import BridgeTowerConfig
    from ..modules import BridgeTowerModel

    with paddle.LazyGuard():
        model = BridgeTowerModel(BridgeTowerConfig(**settings))
    sizes = {name: int(np.prod(parameter.shape)) for name, parameter in model.named_parameters()}
    fusion = sum(size for name, size in sizes.items() if name.startswith("cross_modal_") or "_bridges." in name)
    return sum(sizes.values()) / 1e6, fusion / 1e6


def _json(file: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return value


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def table(name: str, folder: Path) -> str:
    """The table of a comparison in Markdown, from the metrics and configurations in its output folders.

    Args:
        name: of a comparison.
        folder: holds one output folder of train.py for each variant; those that did not finish are shown as such.

    Returns:
        Label, parameters of the model without heads and of its cross-modal part (in millions), what was measured on
        the validation split (the selection value, or RSUM where there is one), seconds of training, and the paper's
        VQAv2 and Flickr30k results.
    """
    lines = ["| variant | parameters | cross-modal | measured | seconds | paper: VQAv2 | paper: RSUM |",
             "|---|---|---|---|---|---|---|"]
    for variant in COMPARISONS[name]:
        output = folder / variant.name
        cells = ["-", "-", "not run", "-"]
        if (output / "eval_results.json").is_file():
            total, fusion = _parameters(_json(output / "config.json"))
            metrics = _json(output / "eval_results.json")
            seconds = _json(output / "train_results.json").get("train_runtime")
            rsum = metrics.get("eval_rsum")
            measured = f"{metrics['eval_the_metric']:.4f}" if rsum is None else f"RSUM {rsum:.1f}"
            cells = [f"{total:.1f}M", f"{fusion:.1f}M", measured, _number(seconds, 0)]
        vqa, rsum = variant.paper or (None, None)
        lines.append("| " + " | ".join([variant.label, *cells, _number(vqa, 2), _number(rsum, 1)]) + " |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the variants of a comparison, as name, image tower, text tower and flags between tabs, or its table."""
    parser = argparse.ArgumentParser(prog="bridgetower.report.ablations", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("commands", "table"):
        commands.add_parser(command).add_argument("name", choices=COMPARISONS)
    commands.choices["table"].add_argument("folder", type=Path)
    args = parser.parse_args(argv)
    return guarded("", lambda: _print(args))


def _print(args: argparse.Namespace) -> int:
    if args.command == "table":
        print(table(args.name, args.folder))
        return 0
    for variant in COMPARISONS[args.name]:
        # A dash for an empty field: the shell would join neighbouring tabs.
        print("\t".join([variant.name, variant.image_tower or "-", variant.text_tower or "-", *variant.flags()]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
