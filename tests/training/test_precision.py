"""Half precision: refused where Paddle ignores it, and what stays in float32 where it does not.

Paddle has no half precision on a CPU, so that no test trains in it. What surrounds it is tested with weights that are
turned into bfloat16 as Paddle's O2 does it, which a CPU can store and convert.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.amp.auto_cast import amp_initialize

import train
from bridgetower import BridgeTowerForPreTraining
from bridgetower.experiment import SettingsError
from bridgetower.kernels import attention
from bridgetower.modules.attention import additive_mask
from bridgetower.objectives import (
    contrastive_loss,
    contrastive_similarity,
    masked_cross_entropy,
    negative_weights,
    vqa_loss,
)
from bridgetower.training.precision import (
    FLOAT32_OPERATORS,
    check_precision,
    keep_in_float32,
    load_state,
    save_as_float32,
)
from tests.miniature import write_experiment, write_miniature
from tests.models import small_model


@pytest.mark.parametrize(("bf16", "fp16", "level", "device", "message"), [
    (True, False, "O1", "cpu", "--bf16: Paddle computes in half precision on GPUs only"),
    (False, True, "O2", "cpu", "--fp16: Paddle computes in half precision on GPUs only"),
    (False, True, "O3", "gpu", "--fp16_opt_level O3 is none of O1, O2"),
    (True, False, "O0", "gpu", "--fp16_opt_level O0 is none of O1, O2"),
    (True, False, "O1", "gpu:0", "--bf16: the device gpu:0 does not support it; leave --bf16 out, or try --fp16"),
    (False, True, "O1", "gpu:0", "--fp16: the device gpu:0 does not support it; leave --fp16 out, or try --bf16"),
])
def test_refused(bf16: bool, fp16: bool, level: str, device: str, message: str,
                 monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("is_bfloat16_supported", "is_float16_supported"):
        monkeypatch.setattr(paddle.amp, name, lambda device: False)
    with pytest.raises(SettingsError, match=message):
        check_precision(bf16, fp16, level, device)


def test_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paddle.amp, "is_bfloat16_supported", lambda device: True)
    check_precision(False, False, "O7", "cpu")
    for level in ("O1", "O2"):
        check_precision(True, False, level, "gpu:0")


def test_why_a_cpu_is_refused() -> None:
    """The day this fails, Paddle computes in half precision on a CPU."""
    layer = nn.Linear(2, 2)
    with pytest.warns(UserWarning, match="makes no effect"), paddle.amp.auto_cast(level="O1", dtype="bfloat16"):
        assert layer(paddle.ones([1, 2])).dtype == paddle.float32
    with pytest.warns(UserWarning, match="makes no effect"):
        assert not paddle.amp.GradScaler().is_enable()
    with pytest.raises(RuntimeError):
        F.layer_norm(paddle.ones([1, 2]).astype("bfloat16"), 2)


def small_pretraining() -> Any:
    return small_model(BridgeTowerForPreTraining, objectives=["mlm", "itm_itc"])


def halve(model: nn.Layer) -> None:
    """What O2 does to the weights, wherever the model is."""
    amp_initialize([model], "bfloat16", keep_in_float32(model))


def test_what_o2_leaves_in_float32() -> None:
    model = small_pretraining()
    halve(model)
    norms = {f"{name}.{own}" for name, layer in model.named_sublayers() if isinstance(layer, nn.LayerNorm)
             for own in ("weight", "bias")}
    assert norms
    for name, parameter in model.named_parameters():
        kept = name in norms or name == "temperature"
        assert parameter.dtype == (paddle.float32 if kept else paddle.bfloat16), name


def test_halved_weights_are_saved_as_float32_and_come_back(tmp_path: Path) -> None:
    model = small_pretraining()
    halve(model)
    save_as_float32(model)
    rounded = {name: parameter.astype("float32").numpy() for name, parameter in model.named_parameters()}
    assert {value.dtype for value in model.state_dict().values()} == {paddle.float32}
    model.save_pretrained(str(tmp_path))
    stored = paddle.load(str(tmp_path / "model_state.pdparams"), return_numpy=True)
    again = BridgeTowerForPreTraining.from_pretrained(tmp_path)
    assert again.config.dtype == "float32"
    for name, parameter in again.named_parameters():
        assert stored[name].dtype == np.float32 and parameter.dtype == paddle.float32
        np.testing.assert_array_equal(parameter.numpy(), rounded[name])

    other = small_pretraining()
    for parameter in other.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    halve(other)
    load_state(other, stored)
    for name, parameter in other.named_parameters():
        assert parameter.dtype == dict(model.named_parameters())[name].dtype
        np.testing.assert_array_equal(parameter.astype("float32").numpy(), rounded[name])


def test_weights_stored_in_half_precision_are_read_as_float32(tmp_path: Path) -> None:
    """Without `save_as_float32`, as other programs write them; NumPy sees the bits of bfloat16 as uint16."""
    model = small_pretraining()
    halve(model)
    model.save_pretrained(str(tmp_path))
    assert paddle.load(str(tmp_path / "model_state.pdparams"), return_numpy=True)["itm_head.weight"].dtype == np.uint16
    again = dict(BridgeTowerForPreTraining.from_pretrained(tmp_path).named_parameters())
    for name, parameter in model.named_parameters():
        assert again[name].dtype == paddle.float32
        np.testing.assert_array_equal(again[name].numpy(), parameter.astype("float32").numpy())
    half = BridgeTowerForPreTraining.from_pretrained(tmp_path, dtype="bfloat16")
    assert {parameter.dtype for parameter in half.parameters()} == {paddle.bfloat16} and half.config.dtype == "bfloat16"
    with pytest.raises(ValueError, match="dtype='int8' is none of float32, float16, bfloat16"):
        BridgeTowerForPreTraining.from_pretrained(tmp_path, dtype="int8")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_losses_of_half_precision_scores_are_float32(dtype: str) -> None:
    """They are those of the rounded scores: targets, sums and the temperature are not rounded."""
    paddle.seed(1)
    scores, targets = paddle.randn([3, 5]).astype(dtype), paddle.rand([3, 5])
    rounded, labels = scores.astype("float32"), paddle.to_tensor([0, 2, 4])
    temperature = paddle.to_tensor(0.07)
    vectors, positives = rounded, paddle.eye(3)
    pairs = [
        (vqa_loss(scores, targets), vqa_loss(rounded, targets)),
        (masked_cross_entropy(scores, labels), masked_cross_entropy(rounded, labels)),
        (masked_cross_entropy(scores[:0], labels[:0]), paddle.zeros([])),
        (contrastive_similarity(scores, scores, temperature), contrastive_similarity(vectors, vectors, temperature)),
    ]
    similarity = pairs[-1][0]
    pairs.append((contrastive_loss(similarity, similarity, positives), contrastive_loss(pairs[-1][1], pairs[-1][1],
                                                                                        positives)))
    for half, full in pairs:
        assert half.dtype == paddle.float32
        np.testing.assert_array_equal(half.numpy(), full.numpy())
    assert negative_weights(similarity, positives).dtype == paddle.float32


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_mask_is_finite_even_below_a_score(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the attention of a GPU gets, which adds it to scores in half precision."""
    given: list[paddle.Tensor] = []

    def record(query: paddle.Tensor, *_: Any, attn_mask: paddle.Tensor, **__: Any) -> paddle.Tensor:
        given.append(attn_mask)
        return query

    monkeypatch.setattr(F, "scaled_dot_product_attention", record)
    query = paddle.ones([1, 2, 1, 4]).astype(dtype)
    attention(query, query, query, additive_mask(paddle.to_tensor([[1, 0]])), 0.0, training=False)
    assert given[0].dtype == query.dtype
    values = given[0].astype("float32").numpy().ravel()
    assert values[0] == 0 and np.isfinite(values[1]) and values[1] < -1e4
    if dtype == "float16":
        assert np.isfinite(np.float16(values[1]) + np.float16(-100))


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch, untuned: None) -> list[dict[str, Any]]:
    """Let the command line accept half precision, which the CPU then ignores; what Paddle is asked for is recorded."""
    monkeypatch.setattr("bridgetower.training.arguments.check_precision", lambda *_: None)
    asked: list[dict[str, Any]] = []
    original = paddle.amp.auto_cast

    def auto_cast(*args: Any, **kwargs: Any) -> Any:
        asked.append(kwargs)
        return original(*args, **kwargs)

    monkeypatch.setattr("paddlenlp.trainer.trainer.autocast", auto_cast)
    return asked


@pytest.mark.filterwarnings("ignore:.*makes no effect")
@pytest.mark.parametrize("level", ["O1", "O2"])
def test_what_paddle_is_asked_for(tmp_path: Path, level: str, pretended: list[dict[str, Any]]) -> None:
    """Training, evaluation, prediction and the best checkpoint, through the command line."""
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=4, save_strategy="steps",
                              save_steps=2, evaluation_strategy="steps", eval_steps=2)
    arguments = ["--config_name", str(config), "--data_root", str(tmp_path / "data"), "--device", "cpu", "--do_train",
                 "--do_eval", "--do_predict", "--load_best_model_at_end", "true"]
    for name, more in (("half", ["--bf16", "--fp16_opt_level", level]), ("full", [])):
        assert train.main([*arguments, "--output_dir", str(tmp_path / name), *more]) == 0
    assert len(pretended) > 4 and all(kwargs["level"] == level and kwargs["dtype"] == "bfloat16" and {
        *FLOAT32_OPERATORS} <= kwargs["custom_black_list"] for kwargs in pretended)
    lines = ((tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("half", "full"))
    half, full = ([json.loads(line).get("loss") for line in each] for each in lines)
    assert half == full
    assert (tmp_path / "half" / "vqa_submit.json").read_text() == (tmp_path / "full" / "vqa_submit.json").read_text()


@pytest.mark.parametrize("flag", ["--bf16", "--fp16"])
def test_one_line_at_the_command_line(tmp_path: Path, flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_experiment(tmp_path, "vqa", {"name": "vqa"}, max_steps=1)
    out = tmp_path / "out"
    assert train.main(["--config_name", str(config), "--output_dir", str(out), "--device", "cpu", "--do_train",
                       flag]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"train.py: error: {flag}: Paddle computes in half")
    assert not out.exists()
