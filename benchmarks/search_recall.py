"""How many of the right pictures a search finds, with and without reranking, on pictures of easy-VQA.

    python benchmarks/search_recall.py build/quickstart/pretrain build/quickstart/search/index [--rerank 100]

The index must hold the test pictures of easy-VQA, as `scripts/search_demo.sh` makes it. A query is a caption such as
"a red circle", one for each of the 24 pairs of a colour and a shape. Right are the R pictures whose questions and
answers say that they show it; pictures whose colour or shape they leave open are not counted. Recall is the share of
the R right ones among the first R that were found.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from bridgetower.cli.command_line import quiet
from bridgetower.preparation.easy_vqa import captions, data_folder, determined, load_questions
from bridgetower.search.searching import Query

if TYPE_CHECKING:
    from bridgetower.serving.served_model import ServedModel


def known_pictures() -> dict[str, tuple[str | None, str | None]]:
    """Colour and shape of the test pictures by their paths, None where the questions leave them open."""
    questions = defaultdict(list)
    for question in load_questions("test"):
        questions[question.image_id].append(question)
    folder = data_folder().resolve() / "test" / "images"
    return {str(folder / f"{number}.png"): determined(some) for number, some in questions.items()}


def pairs_of(shown: dict[str, tuple[str | None, str | None]]) -> list[tuple[str, str]]:
    """The pairs of a colour and a shape that pictures show."""
    return sorted((colour, shape) for colour, shape in set(shown.values()) if colour and shape)


def measure(model: ServedModel, rerank: int) -> tuple[float, float, int]:
    """Mean recall, mean share of right pictures among the first ten, and the number of queries."""
    shown = known_pictures()
    recalls, tens = [], []
    for pair in pairs_of(shown):
        right = {path for path, other in shown.items() if other == pair}
        (found,) = model.search([Query(captions(*pair)[0], top=len(model.index or ()), rerank=rerank)])
        ranked = [one.image for one in found if None not in shown.get(one.image, ())]
        recalls.append(len(right & set(ranked[:len(right)])) / len(right))
        tens.append(len(right & set(ranked[:10])) / min(10, len(right)))
    return statistics.mean(recalls), statistics.mean(tens), len(recalls)


def main() -> None:
    """Measure both ways and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a model with contrastive heads and a matching head")
    parser.add_argument("index", type=Path, help="its index")
    parser.add_argument("--rerank", type=int, default=100, help="pictures to order anew for each query (100)")
    args = parser.parse_args()
    quiet()  # before anything imports Paddle
    from bridgetower.serving.served_model import ServedModel

    model = ServedModel(args.model, args.index, "cpu", 64)
    print("| ranked by | recall of right pictures | right among the first ten | queries |\n| --- | --- | --- | --- |")
    for name, rerank in (("similarity", 0), (f"similarity, the first {args.rerank} by matching", args.rerank)):
        recall, ten, count = measure(model, rerank)
        print(f"| {name} | {recall:.1%} | {ten:.1%} | {count} |", flush=True)


if __name__ == "__main__":
    main()
