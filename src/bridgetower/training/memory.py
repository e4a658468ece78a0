"""Memory of one device in training, computed from shapes: `python -m bridgetower.training.memory CONFIG`.

Counted are the weights, their gradients and the optimiser's moments, what the layers keep for the backward pass, and
the largest buffers that the backward pass and the clipping of gradients need besides. Not counted are the libraries
themselves, communication buffers and what an allocator wastes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ..exits import guarded
from ..setting_rules.ranges import Range, argument

if TYPE_CHECKING:
    from ..config import BridgeTowerConfig
    from ..experiment import Experiment, TaskSettings

__all__ = ["Method", "Need", "Passes", "kept_activations", "main", "need_of", "passes_of", "training_need"]

EXAMPLE = """\
examples:
  python -m bridgetower.training.memory configs/vqav2_config.json
  python -m bridgetower.training.memory configs/pretrain_large_config.json --batch_size 8 16 32 --devices 16
"""
#: Bytes of an element that a LayerNorm reads, of any other element, and of an element of a dropout mask.
_BYTES = {"float32": np.array([4, 4, 1]), "bf16 O1": np.array([4, 2, 1]), "bf16 O2": np.array([4, 2, 1])}
#: Bytes per parameter of weights (with the copies that half precision needs), gradients and moments.
_STATES = {"float32": (4, 4, 8), "bf16 O1": (6, 4, 8), "bf16 O2": (6, 2, 8)}


@dataclass(frozen=True)
class Method:
    """How a model is trained.

    Attributes:
        precision: `float32`, `bf16 O1` or `bf16 O2`.
        recompute: whether layers keep their inputs only.
        sharding: 0, 1 (moments) or 2 (gradients, too).
        devices: over which sharding spreads.
        clips: whether gradients are clipped, which takes a second set of them for a moment.
        keeps_weights: whether attention keeps its weights in float32: Paddle's operator does, ours up to 32 MB of them.
    """

    precision: str = "float32"
    recompute: bool = False
    sharding: int = 0
    devices: int = 1
    clips: bool = False
    keeps_weights: bool = False


@dataclass(frozen=True)
class Need:
    """Bytes of one device: what does not depend on the batch, per sample, and beside both at the optimiser's step."""

    states: float
    sample: float
    step: float = 0.0

    def total(self, batch: int) -> float:
        """The peak of a step with so many samples per device."""
        return self.states + max(self.sample * batch, self.step)


@dataclass(frozen=True)
class Passes:
    """How often a sample passes through what: images, texts, and pairs of which all or only the pooled part is read."""

    images: float = 0
    texts: float = 0
    pooled: float = 0
    text_only: float = 0


def passes_of(name: str, task: TaskSettings, objectives: Sequence[str]) -> Passes:
    """What a sample of a task passes through in training."""
    if name in ("cifar", "cifar10", "cifar100"):
        return Passes(images=1)
    if name == "glue":
        return Passes(texts=1)
    if name == "nlvr2":
        return Passes(images=2, texts=1, pooled=2)
    if name == "irtr":
        return Passes(images=1, texts=1 + task.num_false_texts, pooled=1 + task.num_false_texts)
    if name == "irtr_itm_itc":
        return Passes(images=1, texts=1, pooled=3)
    if name == "pretrain":
        others = {*objectives} - {"mlm"}
        return Passes(images=1.5 if "itm" in others else 1, texts=("mlm" in objectives) + bool(others),
                       pooled=1.0 * ("itm" in others) + 3.0 * ("itm_itc" in others), text_only="mlm" in objectives)
    return Passes(images=1, texts=1, pooled=1)


def _layer(tokens: int, width: int, inner: int, heads: int, contexts: Sequence[int], keeps_weights: bool,
           hidden_dropout: float = 0.0, dropout: float = 0.0) -> np.ndarray:
    """What a layer keeps of a sample: attention to each context in turn (the first are its own tokens), feed-forward.

    Per attention: the input, queries and output (tokens, W), keys and values (context, W); per feed-forward: the input
    (tokens, W), the derivative of the activation and its result (tokens, I); before each LayerNorm the sum (tokens, W).
    """
    count, weights = len(contexts), heads * tokens * sum(contexts)
    norms = (count + 1) * tokens * width
    others = (3 * count + 1) * tokens * width + 2 * sum(contexts) * width + 2 * tokens * inner
    kept = [norms, others + keeps_weights * weights * (2 if dropout else 1), 0]
    kept[2] = (count + 1) * tokens * width * (hidden_dropout > 0) + weights * (dropout > 0)
    return np.array(kept, dtype=float)


def _backward(tokens: int, width: int, inner: int) -> np.ndarray:
    """The largest buffers in the backward pass of a layer: two gradients inside the feed-forward, four beside it."""
    return np.array([0, 2 * tokens * inner + 4 * tokens * width, 0], dtype=float)


def kept_activations(config: BridgeTowerConfig, passes: Passes, length: int, method: Method,
                     masked_share: float = 0.15, buffers: bool = True) -> np.ndarray:
    """Elements that a sample keeps for the backward pass: in LayerNorms, elsewhere, in masks.

    Args:
        config: of the model.
        passes: what a sample passes through.
        length: tokens L of a text.
        method: of the training.
        masked_share: masked tokens of MLM.
        buffers: whether to add the largest buffers of the backward pass.
    """
    text, vision, width = config.text_config, config.vision_config, config.hidden_size
    tokens, weights = vision.num_tokens, method.keeps_weights
    text_layer = _layer(length, text.hidden_size, text.intermediate_size, text.num_attention_heads, [length], weights,
                        text.hidden_dropout_prob, text.attention_probs_dropout_prob)
    image_block = _layer(tokens, vision.hidden_size, vision.intermediate_size, vision.num_attention_heads, [tokens],
                         weights)
    cross = np.sum([_layer(own, width, config.intermediate_size, config.num_attention_heads, [own, other], weights,
                           config.hidden_dropout_prob, config.attention_probs_dropout_prob)
                    for own, other in ((length, tokens), (tokens, length))], axis=0)
    fused, largest = config.num_hidden_layers, max((text_layer, image_block, cross), key=lambda kept: kept[1])
    if not passes.pooled and not passes.text_only:
        largest = image_block if passes.images else text_layer
    if method.recompute:  # the inputs alone
        text_layer, image_block = ([_inputs(*sizes) for sizes in ((length, text.hidden_size),
                                                                  (tokens, vision.hidden_size))])
        cross = _inputs(length + tokens, width)
    levels = max(config.num_bridges, 1)
    kept = passes.images * (vision.num_hidden_layers * image_block + _inputs(tokens, vision.hidden_size)
                            + np.array([0, 2 * vision.num_channels * vision.image_size**2, 0]))
    kept = kept + passes.texts * (text.num_hidden_layers * text_layer + _inputs(length, text.hidden_size))
    if fused:
        kept = kept + passes.images * levels * np.array([0, tokens * vision.hidden_size, 0])
        bridges = levels * _inputs(length + tokens, width)
        kept = kept + passes.pooled * ((fused - 1) * cross + bridges)
        kept = kept + passes.text_only * ((fused - 0.5) * cross + bridges)
    if passes.text_only:  # scores, their softmax and its gradient
        kept = kept + np.array([0, 3 * masked_share * length * text.vocab_size, 0])
    if not buffers:
        return kept
    largest_buffers = _backward(tokens if passes.images else length, *(
        (width, config.intermediate_size) if passes.pooled or passes.text_only
        else (vision.hidden_size, vision.intermediate_size)))
    return kept + largest_buffers * max(1.0, passes.pooled) + (largest if method.recompute else 0)


def _inputs(tokens: int, width: int) -> np.ndarray:
    return np.array([tokens * width, 0, 0], dtype=float)


def need_of(config: BridgeTowerConfig, parameters: int, passes: Passes, length: int, method: Method,
            masked_share: float = 0.15) -> Need:
    """The memory that training a model takes, see `kept_activations`; `parameters` is the number of its values."""
    weights, gradients, moments = _STATES[method.precision]
    shares = method.devices if method.sharding else 1
    states = parameters * (weights + gradients / (shares if method.sharding > 1 else 1) + moments / shares)
    sample = kept_activations(config, passes, length, method, masked_share) @ _BYTES[method.precision]
    return Need(states, float(sample), parameters * gradients if method.clips else 0.0)


def training_need(experiment: Experiment) -> Callable[[Method], Need]:
    """The memory that a run of an experiment takes by a method, without reading its data.

    Args:
        experiment: a model without a vocabulary or number of labels of its own gets those of RoBERTa and VQAv2.
    """
    import paddle

    from ..tasks import get_task
    from .model_config import build_config

    task = get_task(experiment.task)
    config = build_config(experiment, None, experiment.task.num_labels or 3129, task=task)
    with paddle.LazyGuard():
        model = task.model(config)
    task.freeze(model, experiment.task)
    parameters = sum(int(np.prod(each.shape)) for each in model.parameters())
    passes = passes_of(experiment.task.name, experiment.task, config.objectives)
    data = experiment.data
    return lambda method: need_of(config, parameters, passes, data.max_text_len, method, data.mlm_probability)


def _methods(devices: int, clips: bool) -> dict[str, Method]:
    variants = {"float32": Method(keeps_weights=True), "bf16": Method("bf16 O1"), "bf16 O2": Method("bf16 O2")}
    found: dict[str, Method] = {}
    for name, method in variants.items():
        for recompute in (False, True):
            for stage in (0, 1, 2) if devices > 1 else (0,):
                label = [name, *(["recompute"] if recompute else []), *([f"stage{stage}"] if stage else [])]
                found[", ".join(label)] = Method(method.precision, recompute, stage, devices, clips,
                                                 method.keeps_weights)
    return found


def _table(experiment: Experiment, batches: Sequence[int], devices: int) -> str:
    clips = float(experiment.training.get("max_grad_norm", 1.0)) > 0
    lines = [f"| GB per device | {' | '.join(f'batch {batch}' for batch in batches)} |",
             "| --- |" + " ---: |" * len(batches)]
    need_by = training_need(experiment)
    for label, method in _methods(devices, clips).items():
        need = need_by(method)
        lines.append(f"| {label} | {' | '.join(f'{need.total(batch) / 1e9:.1f}' for batch in batches)} |")
    return "\n".join(lines)


def _run(options: argparse.Namespace) -> int:
    from ..experiment import load_experiment

    print(_table(load_experiment(options.config, options.set), options.batch_size, options.devices))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table of a command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bridgetower.training.memory", epilog=EXAMPLE,
        description="Print the memory that a training takes per device, computed from the shapes of the model.",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="experiment file")
    parser.add_argument("--batch_size", type=argument(Annotated[int, Range(1, 65_536)]), nargs="+", metavar="N",
                        default=[1, 8, 16, 32, 64], help="samples per pass on one device (1 8 16 32 64)")
    parser.add_argument("--devices", type=argument(Annotated[int, Range(1, 65_536)]), default=8, metavar="N",
                        help="devices that sharding spreads over (8)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="changes to the experiment file")
    options: Any = parser.parse_args(arguments)
    return guarded("bridgetower.training.memory", partial(_run, options))


if __name__ == "__main__":
    sys.exit(main())
