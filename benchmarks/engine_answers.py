"""What engines and lower precisions change: answers to easy-VQA, and the order of pictures for a text.

    python benchmarks/engine_answers.py build/quickstart [--questions 9673] [--pictures 100]

Exports the models that `scripts/quickstart.sh` trained, in all formats, and asks every engine and precision that can
run here (see docs/inference.md) what it asks the checkpoint: the test questions, and which pictures are most similar to
each of the 24 captions of a colour and a shape ("a red circle").
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from engine_rows import engine_rows, export
from search_recall import known_pictures, pairs_of

from bridgetower import pipeline
from bridgetower.preparation.easy_vqa import captions, data_folder, load_questions

#: Options of a pipeline.
Options = dict[str, Any]


def by_picture(count: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The first test questions, those of a picture together, and their answers."""
    questions = sorted(load_questions("test")[:count], key=lambda one: one.image_id)
    folder = data_folder() / "test" / "images"
    return ([{"image": folder / f"{one.image_id}.png", "question": one.text} for one in questions],
            [one.answer for one in questions])


def answers(model: Path, inputs: list[dict[str, Any]], options: Options) -> list[str]:
    """The best answer to each question."""
    pipe = pipeline("visual-question-answering", model, "cpu", **options, batch_size=64, progress=False)
    return [best["answer"] for best, in pipe(inputs, top_k=1)]


def similarities(model: Path, pictures: list[Path], texts: list[str], options: Options) -> np.ndarray:
    """(texts, pictures) the products of their vectors."""
    embed = pipeline("feature-extraction", model, "cpu", **options, batch_size=64, progress=False)
    return np.stack(embed(text=texts)) @ np.stack(embed(pictures)).T


def kept(found: np.ndarray, exact: np.ndarray) -> str:
    """How many texts keep their most similar picture, and the share of the first ten that stays."""
    found, exact = np.argsort(-found, axis=1), np.argsort(-exact, axis=1)
    first = int((found[:, 0] == exact[:, 0]).sum())
    ten = np.mean([len(set(one) & set(other)) for one, other in zip(found[:, :10], exact[:, :10], strict=True)]) / 10
    return f"{first} of {len(exact)}, {ten:.1%}"


def main() -> None:
    """Print a table: the checkpoint first, then each engine and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trained", type=Path, help="where quickstart.sh wrote to: the models in vqa/ and pretrain/")
    parser.add_argument("--questions", type=int, default=9673, help="of the test questions of easy-VQA")
    parser.add_argument("--pictures", type=int, default=100, help="of its test pictures, for the order")
    args = parser.parse_args()
    inputs, right = by_picture(args.questions)
    pictures = [data_folder() / "test" / "images" / f"{number}.png" for number in range(args.pictures)]
    texts = [captions(*pair)[0] for pair in pairs_of(known_pictures())]
    asked, matched = args.trained / "vqa", args.trained / "pretrain"
    exact, exact_similarities = answers(asked, inputs, {}), similarities(matched, pictures, texts, {})
    print("| engine | precision | right answers | changed answers | same by similarity: first, first ten |\n"
          "| --- | --- | --- | --- | --- |")

    def row(name: str, precision: str, found: list[str], similar: np.ndarray) -> None:
        share = np.mean([one == other for one, other in zip(found, right, strict=True)])
        changed = sum(one != other for one, other in zip(found, exact, strict=True))
        print(f"| {name} | {precision} | {share:.2%} | {changed} of {len(exact)} | "
              f"{kept(similar, exact_similarities)} |", flush=True)

    row("checkpoint", "float32", exact, exact_similarities)
    with TemporaryDirectory() as temporary:
        static = {"vqa": Path(temporary) / "vqa", "retrieval": Path(temporary) / "retrieval"}
        for (task, output), source in zip(static.items(), (asked, matched), strict=True):
            export(source, task, output)
        for engine, precision in engine_rows("", static["vqa"], threads=1).values():
            options: Options = {"engine": engine, "precision": precision}
            row(engine, precision, answers(static["vqa"], inputs, options),
                similarities(static["retrieval"], pictures, texts, options))


if __name__ == "__main__":
    main()
