"""Seconds from the start of a process to the help text, the imported library, the loaded model and the first step.

    python benchmarks/bench_startup.py [--rounds 5] [--output results.json]

Every run is a fresh process, ours and the peer's in turn; the files are in the page cache after the first, untimed
round. The peer is the Hugging Face port: its imports, the help of a script with `TrainingArguments`, the base model
from the folder that both sides load (1.3 GB), and the first step of a plain PyTorch loop over a small model with random
inputs, which reads no data and writes nothing. Ours runs `train.py` itself: experiment file, tokenizer, arrow tables,
one loader process, a model of the same size, one update.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from side_by_side import Comparison, arguments, report

ROOT = Path(__file__).resolve().parent.parent

#: What a process prints when the clock is to stop; without it, the clock stops at its end.
DONE = "the step is done"

#: `train.py`, which says when it has made its first update.
OUR_STEP = f"""
import sys
import train

prepare = train.prepare

def watched(argv):
    import trainer_util
    from paddlenlp.trainer import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_end(self, *args, **kwargs):
            print("{DONE}", flush=True)

    build = trainer_util.BridgeTowerTrainer.__init__

    def watching(self, *args, **kwargs):
        build(self, *args, **kwargs)
        self.add_callback(Watch())

    trainer_util.BridgeTowerTrainer.__init__ = watching
    return prepare(argv)

train.prepare = watched
sys.exit(train.main(sys.argv[1:]))
"""

LOADED = f"""
import sys
from {{library}} import BridgeTowerForMaskedLM
BridgeTowerForMaskedLM.from_pretrained(sys.argv[1])
print("{DONE}", flush=True)
"""

PEER_HELP = """
from transformers import BridgeTowerModel, HfArgumentParser, Trainer, TrainingArguments
HfArgumentParser(TrainingArguments).print_help()
"""

PEER_STEP = f"""
import torch
from transformers import BridgeTowerConfig, BridgeTowerForMaskedLM, Trainer
from transformers.models.bridgetower import BridgeTowerTextConfig, BridgeTowerVisionConfig
torch.manual_seed(0)
text = BridgeTowerTextConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
                             max_position_embeddings=24, vocab_size=300)
vision = BridgeTowerVisionConfig(hidden_size=64, num_hidden_layers=2, patch_size=16, image_size=32)
model = BridgeTowerForMaskedLM(BridgeTowerConfig(
    hidden_size=64, num_hidden_layers=2, num_attention_heads=2, contrastive_hidden_size=16,
    text_config=text.to_dict(), vision_config=vision.to_dict()))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
ids = torch.randint(5, 300, (8, 12))
logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=torch.rand(8, 3, 32, 32)).logits
torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()
optimizer.step()
print("{DONE}", flush=True)
"""


def cases(folder: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Our command and the peer's, without the interpreter, by case."""
    sys.path.insert(0, str(ROOT))
    from tests.miniature import write_experiment, write_miniature

    write_miniature(folder)
    base = str(folder / "base")
    subprocess.run([sys.executable, "-c", "import hf_peer, pathlib, sys; "
                    "hf_peer.make_checkpoint(pathlib.Path(sys.argv[1]), 'BridgeTowerForMaskedLM')", base],
                   cwd=Path(__file__).parent, check=True)
    experiment = write_experiment(folder, "first_step", {"name": "vqa", "num_labels": 6}, max_steps=1,
                                  dataloader_num_workers=1)
    step = ["--config_name", str(experiment), "--data_root", str(folder / "data"), "--output_dir", str(folder / "run"),
            "--do_train", "--device", "cpu"]
    return {
        "--help": (["train.py", "--help"], ["-c", PEER_HELP]),
        "import of the package": (["-c", "import bridgetower"], ["-c", "import transformers"]),
        "import of the model": (["-c", "from bridgetower import BridgeTowerModel"],
                                ["-c", "from transformers import BridgeTowerModel, Trainer"]),
        "base model loaded": (["-c", LOADED.format(library="bridgetower"), base],
                              ["-c", LOADED.format(library="transformers"), base]),
        "first training step": (["-c", OUR_STEP, *step], ["-c", PEER_STEP]),
    }


def seconds(command: Sequence[str], threads: int) -> float:
    """Run Python until it says `DONE`, or else to its end."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    spent = None
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        with subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
                              stderr=errors, text=True) as process:
            for line in process.stdout or ():
                if line.strip() == DONE and spent is None:
                    spent = time.perf_counter() - start
            process.wait()
            spent = spent or time.perf_counter() - start
        if process.returncode:
            errors.seek(0)
            raise RuntimeError(f"python {' '.join(command)[:200]} failed:\n{errors.read()[-2000:]}")
    return spent


def measure(args: argparse.Namespace) -> list[Comparison]:
    """All cases in turn, after a round that does not count."""
    with tempfile.TemporaryDirectory() as temporary:
        commands = cases(Path(temporary))
        found = {case: Comparison(case) for case in commands}
        for number in range(1 + args.rounds):
            for case, (ours, peer) in commands.items():
                print(f"\rround {number + 1} of {1 + args.rounds}: {case:40}", end="", file=sys.stderr)
                spent = seconds(ours, args.threads), seconds(peer, args.threads)
                if number:
                    found[case].ours.append(spent[0])
                    found[case].peer.append(spent[1])
    print(file=sys.stderr)
    return list(found.values())


def main() -> None:
    """Measure in turn, print a table, write JSON."""
    args = arguments(__doc__).parse_args()
    report("Start-up", measure(args), args)


if __name__ == "__main__":
    main()
