"""What PaddleNLP's common tests of models check, for every class: saving, determinism, arguments, outputs, words."""

from __future__ import annotations

import copy
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

import bridgetower
from tests.models import LENGTH, ROWS, SIZE, WORDS, small_batch, small_model
from tests.saved_models import CLASSES

NAMES = [name for name in CLASSES if name != "itc"]
FUSING = [name for name in NAMES if name not in ("cifar", "glue")]


@cache
def model_of(name: str) -> Any:
    """A small model; tests leave it as it is."""
    class_name, own = CLASSES[name]
    own = {key: value for key, value in own.items() if key != "text_config"}
    text = dict(vocab_size=WORDS, hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48,
                max_position_embeddings=LENGTH + 4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    return small_model(getattr(bridgetower, class_name), text_config=text, **own)


def batch_of(name: str) -> dict[str, paddle.Tensor]:
    """A batch with what the class needs, and labels where it takes them."""
    batch = small_batch()
    draw = np.random.default_rng(1)
    labels = {"vqa": draw.random((ROWS, 5)).astype(np.float32), "mlm": np.full((ROWS, LENGTH), 5)}
    if name in ("entailment", "nlvr2", "itm", "cifar", "glue", *labels):
        batch["labels"] = paddle.to_tensor(labels.get(name, np.array([0, 1, 1])))
    if name == "nlvr2":
        batch["pixel_values"] = paddle.to_tensor(draw.standard_normal((ROWS, 2, 3, SIZE, SIZE)).astype(np.float32))
    if name == "ranking":
        batch |= {key: paddle.stack([batch[key], batch[key].flip(0)], axis=1)
                  for key in ("input_ids", "attention_mask")}
    if name == "pretrain":
        batch |= {"mlm_input_ids": batch["input_ids"], "mlm_labels": batch["input_ids"],
                  "itm_labels": paddle.ones([ROWS], "int64")}
    left_out = {"cifar": ("input_ids", "attention_mask"), "glue": ("pixel_values",)}.get(name, ())
    return {key: value for key, value in batch.items() if key not in left_out}


def first_negative(weights: paddle.Tensor) -> paddle.Tensor:
    return weights.argmax(axis=-1)


def run(model: Any, name: str, **options: Any) -> Any:
    if "draw" in inspect.signature(model.forward).parameters:
        options["draw"] = first_negative
    with paddle.no_grad():
        return model(**batch_of(name), **options)


@cache
def plain_output(name: str) -> Any:
    return run(model_of(name), name)


@cache
def full_output(name: str) -> Any:
    return run(model_of(name), name, output_hidden_states=True, output_attentions=True)


def flat(value: Any) -> list[paddle.Tensor]:
    """All tensors in nested tuples and outputs."""
    if isinstance(value, paddle.Tensor):
        return [value]
    values = value.values() if hasattr(value, "values") else value
    return [tensor for each in values if each is not None for tensor in flat(each)]


def shapes(value: Any) -> Any:
    return tuple(map(shapes, value)) if isinstance(value, tuple) else tuple(value.shape)


def assert_equal(found: Any, expected: Any, tolerance: float = 0.0) -> None:
    for mine, other in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_call_gives_the_same_result(name: str) -> None:
    assert_equal(run(model_of(name), name), plain_output(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_is_the_same(name: str, tmp_path: Path) -> None:
    model = model_of(name)
    model.save_pretrained(str(tmp_path))
    again = type(model).from_pretrained(tmp_path)
    assert not again.training and again.config.architectures == [type(model).__name__]
    assert again.config.to_dict() == model.config.to_dict() | {"architectures": again.config.architectures}
    assert_equal(run(again, name), plain_output(name))


@pytest.mark.parametrize("name", NAMES)
def test_arguments(name: str) -> None:
    """Those that a processor or a user of PaddleNLP passes; the one that a model cannot do without comes first."""
    arguments = list(inspect.signature(model_of(name).forward).parameters)
    assert arguments[0] == ("pixel_values" if name == "cifar" else "input_ids")
    wanted = {"output_hidden_states", "output_attentions", "return_dict"}
    wanted |= {"token_type_ids", "attention_mask"} if name != "cifar" else set()
    wanted |= {"pixel_mask", "pixel_values"} if name != "glue" else set()
    assert wanted <= set(arguments)


@pytest.mark.parametrize("name", NAMES)
def test_a_tuple_has_the_same_values_with_the_loss_first(name: str) -> None:
    whole = full_output(name)
    parts = run(model_of(name), name, output_hidden_states=True, output_attentions=True, return_dict=False)
    if whole.get("loss") is not None:
        np.testing.assert_array_equal(parts[0].numpy(), whole.loss.numpy())
    by_row = name in ("mlm", "itm")  # as in the port
    assert isinstance(parts, tuple) and len(parts) == (1 + ROWS if by_row else len(whole))
    if not by_row:
        assert_equal(parts[-2:], (whole.hidden_states, whole.attentions))


@pytest.mark.parametrize("name", NAMES)
def test_asking_for_states_and_attentions_changes_nothing_else(name: str) -> None:
    plain, full = plain_output(name), full_output(name)
    assert plain.get("attentions") is None
    assert (plain.get("hidden_states") is None) == (name != "contrastive")  # the port's class always returns them
    assert_equal({key: full[key] for key in plain}, dict(plain), 1e-5)


@pytest.mark.parametrize("name", FUSING)
def test_states_and_attentions_of_each_pair(name: str) -> None:
    """Those of the bare model on the same pair; NLVR2 has one entry per image."""
    model, batch, found = model_of(name), batch_of(name), full_output(name)
    ids, mask, pixels = (batch[key] for key in ("input_ids", "attention_mask", "pixel_values"))
    pairs = [(ids, mask, pixels, 1)]
    states, weights = (found.hidden_states,), (found.attentions,)
    if name == "nlvr2":
        pairs = [(ids, mask, pixels[:, index], index + 1) for index in range(2)]
        states, weights = found.hidden_states, found.attentions
    if name == "ranking":
        pairs = [(ids.flatten(0, 1), mask.flatten(0, 1), pixels, 1)]
    assert len(states) == len(weights) == len(pairs)
    rows = paddle.arange(2 * ROWS) // 2 if name == "ranking" else None
    for of_states, of_weights, (ids, mask, pixels, kind) in zip(states, weights, pairs, strict=True):
        expected = getattr(model, "bridgetower", model)(
            ids, mask, pixel_values=pixels, image_token_type_idx=kind, output_hidden_states=True,
            output_attentions=True, image_rows=rows)
        assert [len(each) for each in of_states] == [4, 5, 2] and len(of_weights) == 2
        assert_equal((of_states, of_weights), (expected.hidden_states, expected.attentions), 1e-5)


@pytest.mark.parametrize(("name", "tokens", "layers", "width"), [("glue", LENGTH, 3, 32), ("cifar", 5, 4, 64)])
def test_states_and_attentions_of_a_tower(name: str, tokens: int, layers: int, width: int) -> None:
    model, found = model_of(name), full_output(name)
    assert shapes(found.hidden_states) == ((ROWS, tokens, width),) * (layers + 1)
    heads = {"glue": 2, "cifar": 1}[name]
    assert shapes(found.attentions) == ((ROWS, heads, tokens, tokens),) * layers
    for weights in found.attentions:
        np.testing.assert_allclose(weights.sum(-1).numpy(), 1, atol=1e-6)
    last = found.hidden_states[-1]
    scored = model.classifier(last if name == "glue" else model.image_tower.post_norm(last)[:, 0])
    np.testing.assert_allclose(scored.numpy(), found.logits.numpy(), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_may_ask(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name)
    monkeypatch.setattr(model.config, "output_attentions", True)
    assert run(model, name).attentions is not None
    assert run(model, name, output_attentions=False).get("attentions") is None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "cifar"])
def test_more_words(name: str) -> None:
    model, before = copy.deepcopy(model_of(name)), plain_output(name)
    assert model.resize_token_embeddings(WORDS + 5) is model.get_input_embeddings()
    assert model.get_input_embeddings().weight.shape[0] == model.config.text_config.vocab_size == WORDS + 5
    after = run(model, name)
    for key in ("logits", "pooler_output", "rank_scores", "mlm_logits"):
        if before.get(key) is not None:
            kept = before[key].shape[-1]
            np.testing.assert_allclose(after[key].numpy()[..., :kept], before[key].numpy(), atol=1e-6)


def test_two_images_by_other_inputs() -> None:
    """Words and images that are embedded already, and images of another size."""
    model, batch = model_of("nlvr2"), batch_of("nlvr2")
    batch["input_ids"][-1, -2:] = 5  # no padding: embeddings do not show it
    expected, tower = model(**batch).logits, model.bridgetower
    words = tower.get_input_embeddings()(batch["input_ids"])
    pixels = batch.pop("pixel_values")
    images = paddle.stack([tower.image_tower.embed(pixels[:, index]) for index in range(2)], axis=1)
    del batch["input_ids"]
    assert_equal(model(**batch, inputs_embeds=words, image_embeds=images).logits, expected, 1e-5)
    larger = paddle.concat([pixels, pixels], axis=-1)
    found = model(**batch, inputs_embeds=words, pixel_values=larger, interpolate_pos_encoding=True)
    assert found.logits.shape[0] == ROWS
    with pytest.raises(ValueError, match=r"image_embeds has shape .*two images per text"):
        model(**batch, inputs_embeds=words, image_embeds=images[:, :1])


@pytest.mark.parametrize(("name", "missing"), [("pretrain", "mlm_labels"), ("pretrain", "itm_labels"),
                                               ("glue", "input_ids"), ("nlvr2", "input_ids")])
def test_a_missing_input_is_named(name: str, missing: str) -> None:
    batch = batch_of(name)
    del batch[missing]
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        model_of(name)(**batch)
