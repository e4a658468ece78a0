"""Write a checkpoint as static models: text tower, image tower and fusion, as Paddle programs or ONNX files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..exits import guarded
from ..runtime import import_paddle, interrupted_by_signals, log_to_console
from ..setting_rules.ranges import ImageSide, argument
from .manifest import FORMATS

EXAMPLES = r"""
examples:
  python export.py output/vqa --output vqa-static
      what train.py wrote; task, size, transform and names of the answers are those of the training
  python export.py output/vqa --output vqa-static --format paddle onnx
      for every engine: Paddle's inference, ONNX Runtime and OpenVINO
  python export.py BridgeTower_vqa.ckpt.pdparams --output vqa-static --tokenizer roberta-base \
      --labels data/fine-tune/vqav2_train_fix.arrow data/fine-tune/vqav2_val_fix.arrow
      a converted checkpoint of the original, which does not name its answers
  python export.py bridgetower-base-itm-mlm --output itm-static --task itm
      a converted or Hugging Face folder with heads for several tasks
  python export.py output/irtr/checkpoint-3000 --output retrieval-static --image_size 384 --overwrite

docs/inference.md shows how to use the folder. Exit status: 0 done, 2 unusable input or options.
"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="export.py", description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder of a training, a conversion or Hugging Face, or a weight file")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--task", metavar="NAME", help="itm, vqa, snli, mlm or retrieval; default: the checkpoint's")
    parser.add_argument("--image_size", type=argument(ImageSide), metavar="N",
                        help="resize the position table to N x N pixels")
    parser.add_argument("--max_text_len", type=int, metavar="N",
                        help="tokens that texts are cut to; default: the training's, or 50")
    parser.add_argument("--tokenizer", metavar="NAME", help="folder or known name; default: beside the checkpoint")
    parser.add_argument("--image_transform", metavar="NAME",
                        help="how pictures are prepared; default: as preprocessor_config.json beside the checkpoint "
                             "says, or clip")
    parser.add_argument("--labels", type=Path, nargs="+", default=[], metavar="FILE",
                        help="names of the classes: JSON (a list, or an object of names and ids), or arrow files of "
                             "VQA; default: the checkpoint's")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["paddle"], metavar="NAME",
                        help="paddle, onnx, and int8 (ONNX with 8-bit weights), one or several; default: paddle")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Export; returns the exit status."""
    options = parse_arguments(arguments)
    log_to_console()
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle warns about its own operators while it traces them
    import_paddle()
    import paddle

    from .exporter import ExportOptions, export_checkpoint

    paddle.disable_signal_handler()  # it would take SIGTERM from the handler of this program

    received: list[int] = []

    def export() -> int:
        nonlocal received
        try:
            with interrupted_by_signals() as received:
                manifest = export_checkpoint(options.checkpoint, options.output, ExportOptions(
                    task=options.task, image_size=options.image_size, max_text_len=options.max_text_len,
                    tokenizer=options.tokenizer, image_transform=options.image_transform,
                    labels=tuple(options.labels), formats=tuple(options.format), overwrite=options.overwrite))
        except BaseException as error:
            if received:  # a library may have turned the interruption into another error
                raise KeyboardInterrupt from error
            raise
        print(f"{options.output}: {manifest.model_class} for {manifest.task}, {manifest.image_size} pixels, texts up "
              f"to {manifest.max_text_len} tokens, {' and '.join(manifest.formats)}")
        return 0

    return guarded("export.py", export, interrupted="interrupted, nothing written")


if __name__ == "__main__":
    sys.exit(main())
