"""What limits a pre-training step or a forward pass on this processor: operators beside the least time they could take.

    python benchmarks/bench_roofline.py [--forward] [--rounds 5] [--threads 2] [--output results.json]

The step is that of bench_pretrain.py; with `--forward`, the four pairs of bench_forward.py get ITM scores. One pass
records which operators run and on which shapes; then each is timed alone, the least of so many rounds. Its bound is the
larger of two times: its multiplications and additions at the rate of a product of two large matrices, and its bytes at
the speed of a copy that moves as many. The bytes are those of an ideal operator: inputs and outputs cross the memory
once in the forward pass, and once more with their gradients in the backward pass. What is left is the whole without the
recorded operators: residual sums, embeddings, losses and sums of gradients.

In a step, an operator uses all threads. In a forward pass each thread computes some of the samples from end to end: an
operator is timed on one thread and divided by their number. PyTorch's rates of the same product, in float32 and in
bfloat16, tell what other engines could reach; they are measured in a process of its own.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import cache
from math import prod
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from bench_pretrain import LEARNING_RATE, WEIGHT_DECAY, training_batch
from side_by_side import arguments, least_seconds, machine, random_pairs

#: Side of the square matrices whose product gives the rate.
SIDE = 3072
#: Arrays that AdamW reads or writes: weight, gradient and both moments, and all but the gradient again.
ADAMW_ARRAYS = 7


class Operator(NamedTuple):
    """A kernel, the shapes of its tensors, and its other arguments."""

    name: str
    shapes: tuple[tuple[int, ...] | None, ...]
    others: tuple[Any, ...]

    @property
    def products(self) -> int:
        """Additions and multiplications of the matrix products in its forward pass."""
        first, second = self.shapes[0] or (), self.shapes[1] if len(self.shapes) > 1 else None
        if self.name in ("linear", "patch_embedding") and second:
            rows = first[:-1] if self.name == "linear" else (first[0], *(side // second[-1] for side in first[2:]))
            return 2 * prod(rows) * prod(second)
        if self.name == "attention" and second:
            batch, queries, heads, width = first
            return 4 * batch * heads * queries * second[1] * width
        if self.name in ("few_queries_attention", "few_keys_attention") and second:
            # The few, (B, L, H, d), meet a vector of the many, (B, N, C), for each head.
            few, many = (first, second) if self.name == "few_queries_attention" else (second, first)
            return 4 * prod(few[:3]) * many[2] * (few[3] + many[1])
        return 0


def torch_rate(precision: str, threads: int, rounds: int) -> float:
    """Additions and multiplications per second in PyTorch's product of two large matrices."""
    import torch

    torch.set_num_threads(threads)
    square = torch.ones(SIDE, SIDE, dtype=getattr(torch, precision))
    return 2 * SIDE ** 3 / least_seconds(lambda: square @ square, rounds)


class Machine:
    """What the processor reaches with so many threads: its rate of products, and the time of a copy."""

    def __init__(self, threads: int, rounds: int) -> None:
        import paddle

        self._pool, self._threads, self._rounds = ThreadPoolExecutor(threads), threads, rounds
        square = paddle.ones([SIDE, SIDE])
        self.rate = 2 * SIDE ** 3 / least_seconds(lambda: square.matmul(square), rounds)
        self.copy = cache(self._copy)

    def _copy(self, size: int) -> float:
        """Seconds to move so many bytes: half are read, half are written, each thread its share."""
        parts = [np.ones((2, size // (8 * self._threads)), np.float32) for _ in range(self._threads)]

        def copy() -> None:
            list(self._pool.map(lambda part: np.copyto(part[0], part[1]), parts))

        return least_seconds(copy, self._rounds)

    def bound(self, products: float, size: int) -> float:
        """The least seconds for these products and bytes."""
        return max(products / self.rate, self.copy(size))


def recorded(model: Any, run: Callable[[], Any]) -> Counter[Operator]:
    """How often each operator is called while `run` runs."""
    from bridgetower import kernels
    from bridgetower.modules.attention import FeedForward

    counts: Counter[Operator] = Counter()

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*inputs: Any) -> Any:
            shapes = tuple(tuple(each.shape) if hasattr(each, "shape") else None for each in inputs)
            others = tuple(None if hasattr(each, "shape") else each for each in inputs)
            counts[Operator(name, shapes, others)] += 1
            return function(*inputs)

        return call

    names = ["attention", "few_keys_attention", "few_queries_attention", "layer_norm", "linear", "patch_embedding"]
    if model.training:
        names.append("dropout")
    before = {name: getattr(kernels, name) for name in names}
    blocks = [layer for layer in model.sublayers() if isinstance(layer, FeedForward)]
    activations = [block.activation for block in blocks]
    try:
        for name, function in before.items():
            setattr(kernels, name, wrapped(name, function))
        for block, activation in zip(blocks, activations, strict=True):
            block.activation = wrapped(activation.__name__, activation)
        run()
    finally:
        for name, function in before.items():
            setattr(kernels, name, function)
        for block, activation in zip(blocks, activations, strict=True):
            block.activation = activation
    return counts


def measured(operator: Operator, rounds: int, with_gradient: bool) -> tuple[float, int]:
    """Seconds of one call, with its gradient if asked for, and the bytes that an ideal operator moves for it."""
    import paddle

    from bridgetower import kernels

    inputs = [paddle.rand(shape) if shape is not None else other
              for shape, other in zip(operator.shapes, operator.others, strict=True)]
    tensors = [each for each in inputs if hasattr(each, "shape")]
    for each in tensors:
        # The mask of an attention, (B, 1, 1, K), is the only input that learns nothing.
        is_mask = operator.name.endswith("attention") and each.ndim == 4 and each.shape[1:3] == [1, 1]
        each.stop_gradient = is_mask or not with_gradient
    function = getattr(kernels, operator.name)
    gradient = paddle.rand(function(*inputs).shape)

    def once() -> None:
        output = function(*inputs)
        if with_gradient:
            paddle.autograd.backward([output], [gradient])
            for each in tensors:
                each.clear_gradient(set_to_zero=False)

    size = 4 * (sum(each.size for each in tensors) + gradient.size)
    learnt = 4 * sum(each.size for each in tensors if not each.stop_gradient)
    return least_seconds(once, rounds), size + (size + learnt if with_gradient else 0)


class Row(NamedTuple):
    """What all calls of an operator sum up to: their number, operations, bytes, and seconds."""

    calls: int = 0
    operations: int = 0
    bytes: int = 0
    bound: float = 0.0
    measured: float = 0.0

    def plus(self, calls: int, other: Row) -> Row:
        """With so many times another row."""
        return Row(*(old + calls * new for old, new in zip(self, other, strict=True)))


def training_step(hardware: Machine, rounds: int) -> tuple[Counter[Operator], float, dict[str, Row]]:
    """The operators of a step, the seconds of all of it, and the row of its optimizer."""
    import paddle

    from bridgetower import BridgeTowerForPreTraining
    from bridgetower.training.optimization import AdamW, parameter_groups

    model = BridgeTowerForPreTraining(base_config())
    batch = {name: paddle.to_tensor(value) for name, value in training_batch().items()}
    optimizer = AdamW(LEARNING_RATE, parameter_groups(model, WEIGHT_DECAY, 5.0, 5.0))
    model.train()
    counts = recorded(model, lambda: model(**batch))
    updates = []

    def step() -> None:
        model(**batch).loss.backward()
        start = time.perf_counter()
        optimizer.step()
        updates.append(time.perf_counter() - start)
        optimizer.clear_grad(set_to_zero=False)

    step()  # gets its memory from the system, as does the one that `least_seconds` adds
    whole = least_seconds(step, rounds)
    size = 4 * ADAMW_ARRAYS * sum(each.size for each in model.parameters())
    return counts, whole, {"AdamW": Row(1, 0, size, hardware.bound(0, size), min(updates))}


def forward_pass(threads: int, rounds: int) -> tuple[Counter[Operator], float]:
    """The operators of ITM scores on one thread, and the seconds of all of it on so many."""
    import paddle

    from bridgetower import BridgeTowerForImageAndTextRetrieval
    from bridgetower.runtime import set_cpu_threads

    model = BridgeTowerForImageAndTextRetrieval(base_config())
    batch = {name: paddle.to_tensor(value) for name, value in random_pairs().items()}
    model.eval()
    with paddle.no_grad():
        whole = least_seconds(lambda: model(**batch).logits.numpy(), rounds)
        set_cpu_threads(1)
        counts = recorded(model, lambda: model(**batch))
    return counts, whole


def base_config() -> Any:
    """The base model of the other benchmarks."""
    from bridgetower import BridgeTowerConfig

    return BridgeTowerConfig(vision_config={"image_size": 288}, tie_word_embeddings=False)


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = arguments(__doc__, rounds=5)
    parser.add_argument("--forward", action="store_true", help="ITM scores of four pairs instead of a training step")
    args = parser.parse_args()
    threads, rounds = args.threads, args.rounds
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        rates = {name: process.submit(torch_rate, name, threads, rounds).result() for name in ("float32", "bfloat16")}
    from bridgetower.runtime import set_cpu_threads, tune_cpu

    tune_cpu()
    set_cpu_threads(threads)
    hardware = Machine(threads, rounds)
    rows: dict[str, Row] = {}
    if args.forward:
        counts, whole = forward_pass(threads, rounds)
    else:
        counts, whole, rows = training_step(hardware, rounds)
    for operator, calls in counts.items():
        taken, size = measured(operator, rounds, with_gradient=not args.forward)
        operations = operator.products * (1 if args.forward else 3)  # of the gradients of both factors, too
        row = Row(1, operations, size, hardware.bound(operations, size), taken / (threads if args.forward else 1))
        rows[operator.name] = rows.get(operator.name, Row()).plus(calls, row)
    report("ITM scores of four pairs" if args.forward else "A pre-training step", rows, whole, rates, hardware, args)


def report(title: str, rows: dict[str, Row], whole: float, rates: dict[str, float], hardware: Machine,
           args: Any) -> None:
    """Print the table of operators, the longest first, and write it."""
    copies = ", ".join(f"{size / hardware.copy(size) / 1e9:.0f} GB/s" for size in (1 << 24, 1 << 30))
    print(f"{title}: {machine()}, {args.threads} threads. Billions of operations a second in products: "
          f"{hardware.rate / 1e9:.0f}; in PyTorch "
          + ", ".join(f"{rate / 1e9:.0f} in {name}" for name, rate in rates.items())
          + f". Copies of 16 MiB and 1 GiB: {copies}.\n")
    print("| operator | calls | billion operations | GB | bound, s | measured, s | bound / measured |")
    print("|" + " --- |" * 7)
    total = Row()
    for name, row in sorted(rows.items(), key=lambda item: -item[1].measured):
        total = total.plus(1, row)
        print(f"| {name} | {_cells(row)} |")
    print(f"| all of these | {_cells(total)} |")
    print(f"| the rest | | | | | {whole - total.measured:.2f} | |")
    print(f"| the whole | | | | {total.bound:.2f} | {whole:.2f} | {total.bound / whole:.0%} |")
    if args.output:
        args.output.write_text(json.dumps({
            "title": title, "machine": machine(), "threads": args.threads, "seconds": whole,
            "operations per second": {"ours": hardware.rate, **{f"torch, {name}": rates[name] for name in rates}},
            "operators": {name: row._asdict() for name, row in rows.items()}}, indent=2) + "\n")


def _cells(row: Row) -> str:
    return (f"{row.calls} | {row.operations / 1e9:.0f} | {row.bytes / 1e9:.1f} | {row.bound:.2f} | {row.measured:.2f} "
            f"| {row.bound / row.measured:.0%}")


if __name__ == "__main__":
    main()
