"""Convert PyTorch checkpoints of BridgeTower, METER and their towers to Paddle, and back."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from ..exits import guarded
from ..files import locked_file, locked_folder
from ..ranges import ImageSide, argument
from ..runtime import interrupted_by_signals

if TYPE_CHECKING:  # printing the help needs none of what conversion imports
    from ..conversion import Options, Plan

EXAMPLES = """\
examples:
  python torch2paddle.py BridgeTower_pt_base.ckpt
      -> BridgeTower_pt_base.ckpt.pdparams and BridgeTower_pt_base.ckpt.config.json
  python torch2paddle.py BridgeTower/bridgetower-base-itm-mlm --output bridgetower-base --verify
      downloads from the Hugging Face hub, writes a folder for from_pretrained, compares the outputs
  python torch2paddle.py ViT-B-16.pt --output clip-vit-b16.safetensors --image_size 288
      the image tower of an OpenAI CLIP archive, for a larger picture
  python torch2paddle.py BridgeTower_pt_base.ckpt --dry_run
      checks everything, prints what is in the file, writes nothing
  python torch2paddle.py bridgetower-base --reverse --format huggingface --output bridgetower-torch

Where to find checkpoints: the download links of the original project no longer work. Copies of its .ckpt files are at
https://huggingface.co/LooperXX/BridgeTower, and converted ones are at https://huggingface.co/BridgeTower.

exit status: 0 done, 1 --verify found a difference above its tolerance, 2 unusable input or options.
"""
TOLERANCE = 1e-4
LARGE = 100 << 20  # bytes; anything smaller is written before a progress bar could be read


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argparse.ArgumentParser(
        prog="torch2paddle.py", description=__doc__, epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("source", help="a .ckpt, .pt, .bin or .safetensors file, a Hugging Face folder, or a hub name")
    parser.add_argument("--output", type=Path, help="weight file or folder; default: beside the source")
    parser.add_argument("--format", choices=("pdparams", "safetensors", "ckpt", "huggingface"),
                        help="default: by the name of --output, else pdparams; ckpt and huggingface need --reverse")
    parser.add_argument("--image_size", type=argument(ImageSide), metavar="N",
                        help="resize the position table to N x N pixels")
    parser.add_argument("--towers", type=Path, metavar="FILE.json", help="sizes of towers that the checkpoint lacks")
    parser.add_argument("--config", type=Path, metavar="FILE.json", help="settings, for a checkpoint without any")
    parser.add_argument("--dtype", choices=("float32", "float16", "source"),
                        help="type of the written weights; default: float32, with --reverse the type of the source")
    parser.add_argument("--allow_nonfinite", action="store_true", help="convert NaN and infinite weights too")
    parser.add_argument("--dry_run", action="store_true", help="read, check and report, but write nothing")
    parser.add_argument("--verify", action="store_true", help="compare outputs with PyTorch (needs transformers)")
    parser.add_argument("--reverse", action="store_true", help="from Paddle to PyTorch")
    parser.add_argument("--head", choices=("mlm", "itm", "itc", "none"),
                        help="with --reverse --format huggingface: the one head to keep")
    options = parser.parse_args(arguments)
    forward = ("pdparams", "safetensors")
    if options.format and (options.format in forward) == options.reverse:
        parser.error(f"--format {options.format} is for the way {'from' if options.format in forward else 'to'} torch")
    if options.head and not options.reverse:
        parser.error("--head is only for --reverse")
    if options.verify and (options.dry_run or options.reverse):
        parser.error("--verify compares converted weights with PyTorch; drop --dry_run or --reverse")
    return options


def convert(arguments: argparse.Namespace) -> int:
    """Run one conversion and print its report; returns the exit status."""
    from ..conversion import hub_name, local_path, plan_conversion, plan_reverse

    source = local_path(arguments.source)
    if arguments.output is None and str(source) != arguments.source:
        arguments.output = Path(f"{Path(hub_name(arguments.source)).name}-paddle")  # not inside the cache
    options = _options(arguments)
    plan = plan_reverse(source, options, arguments.head) if arguments.reverse else plan_conversion(source, options)
    print(plan.report.text())
    if arguments.dry_run:
        print("dry run: nothing written")
        return 0
    writes_file = str(plan.folder) in plan.report.targets
    with locked_file(plan.folder) if writes_file else locked_folder(plan.folder), progress_bar(plan.num_bytes) as bar:
        plan.write(bar.update)
    return _verify(source, plan, options) if arguments.verify else 0


def _options(arguments: argparse.Namespace) -> Options:
    from ..conversion import Options

    dtype = arguments.dtype or ("source" if arguments.reverse else "float32")
    return Options(
        output=arguments.output, format=arguments.format, image_size=arguments.image_size, towers=arguments.towers,
        config=arguments.config, allow_nonfinite=arguments.allow_nonfinite, dtype=dtype,
    )  # fmt: skip


def progress_bar(total: int, stream: TextIO | None = None) -> Any:
    """A tqdm bar over `total` bytes on standard error; silent for small files and where there is no terminal."""
    from tqdm import tqdm

    stream = stream or sys.stderr
    is_silent = total < LARGE or not stream.isatty()
    return tqdm(total=total, desc="writing", unit="B", unit_scale=True, file=stream, disable=is_silent)


def _verify(source: Path, plan: Plan, options: Options) -> int:
    from .comparison import verify

    return report_differences(verify(source, plan.folder, options))


def report_differences(differences: Mapping[str, float]) -> int:
    """Print the largest difference of each output; returns the exit status."""
    for name, difference in differences.items():
        print(f"  largest difference of {name}: {difference:.2e}")
    worst = max(differences.values(), key=lambda difference: (math.isnan(difference), difference))
    fits = worst <= TOLERANCE
    print(f"verify: {worst:.2e} is {'within' if fits else 'ABOVE'} the tolerance of {TOLERANCE:.0e}")
    return 0 if fits else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    options = parse_arguments(arguments)

    def converted() -> int:
        with interrupted_by_signals():
            return convert(options)

    return guarded("torch2paddle.py", converted, interrupted="interrupted, nothing written")


def run() -> NoReturn:
    """Run as a program."""
    sys.exit(main())
