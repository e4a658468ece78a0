"""Reference values of the original implementation, recorded in tests/data/goldens.

Each case holds the original's weights by its own names, its configuration, inputs and outputs. Two correct float32
implementations agree to about 1e-5 of the largest entry of an array.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from bridgetower import BridgeTowerConfig
from bridgetower.conversion import from_paddle, read_checkpoint, to_paddle
from bridgetower.modules import BridgeTowerPretrainedModel, load_into

FOLDER = Path(__file__).parent / "data" / "goldens"
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Golden:
    """One recorded case."""

    name: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    def json(self, file: str) -> Any:
        return json.loads((self.folder / f"{file}.json").read_text())

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.folder / "io.npz") as data:
            return dict(data)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def tensor(self, name: str) -> paddle.Tensor:
        return paddle.to_tensor(self.arrays[name])

    def config(self) -> BridgeTowerConfig:
        return BridgeTowerConfig.from_original(self.json("config"), self.json("towers"))

    def model(self, model_class: type[BridgeTowerPretrainedModel], weights: str | None = None,
              **changes: Any) -> Any:
        """A model in evaluation mode with the recorded weights, which must fit to the last key."""
        model = model_class(self.config().replace(**changes))
        tensors, _ = to_paddle(read_checkpoint(FOLDER / (weights or self.name) / "weights.ckpt").tensors, "original")
        report = load_into(model, tensors, self.name, may_miss=(), may_ignore=())
        assert report.new == report.unused == ()
        model.eval()
        return model


def original_gradients(model: BridgeTowerPretrainedModel, task: str = "") -> dict[str, np.ndarray]:
    """The gradients by the original's names; parameters without one are left out."""
    grads = {name: parameter.grad.numpy() for name, parameter in model.named_parameters() if parameter.grad is not None}
    return from_paddle(grads, "original", task=task)[0]


def assert_close(actual: Any, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    """Equal to `tolerance` of the largest entry (absolutely where all entries are below one)."""
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max()))


def assert_gradients(model: BridgeTowerPretrainedModel, golden: Golden, task: str = "") -> None:
    """Norms of all gradients, and the recorded gradients in full; the original's unused parts have none here."""
    found = original_gradients(model, task)
    norms = {name: norm for name, norm in golden.json("grad_norms").items() if norm is not None}
    largest = max(norms.values())
    assert {name for name in norms if norms[name] > 0} <= set(found), "a parameter of the original has no gradient"
    for name, norm in norms.items():
        np.testing.assert_allclose(np.linalg.norm(found[name]), norm, rtol=1e-4, atol=1e-6 * largest, err_msg=name)
    full = [name for name in golden.arrays if name.startswith("grad.")]
    assert full
    for name in full:
        assert_close(found[name.removeprefix("grad.")].reshape(golden[name].shape), golden[name])
