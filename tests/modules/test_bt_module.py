"""The bare model: what is left out must not change a number, and how many bridges there are."""

from __future__ import annotations

import inspect

import numpy as np
import paddle
import pytest

import bridgetower
from bridgetower import BridgeTowerForPreTraining, BridgeTowerForQuestionAnswering, BridgeTowerModel
from tests.goldens import assert_close
from tests.models import LENGTH, ROWS, SIZE, WORDS, assert_same_gradients, gradients, small_batch, small_model

TOKENS = 1 + (SIZE // 16) ** 2


def weighted(*tensors: paddle.Tensor) -> paddle.Tensor:
    """A scalar that depends on every entry."""
    draw = np.random.default_rng(5)
    return sum((tensor * paddle.to_tensor(draw.standard_normal(tensor.shape).astype(np.float32))).sum()
               for tensor in tensors)


@pytest.mark.parametrize("num_bridges", [0, 1, 2, 3])
def test_number_of_bridges(num_bridges: int) -> None:
    """Internal layers read a tower state; external ones, and all of METER, only the layer below."""
    model = small_model(BridgeTowerModel, num_hidden_layers=3, num_bridges=num_bridges)
    assert len(model.text_bridges) == len(model.image_bridges) == max(num_bridges - 1, 0)
    assert (num_bridges > 0) == any(name.startswith("text_input_norm") for name, _ in model.named_parameters())
    batch = small_batch()
    assert len(model.encode_text(batch["input_ids"], batch["attention_mask"])) == max(num_bridges, 1)
    output = model(**batch)
    assert output.text_features.shape == [ROWS, LENGTH, 32]
    assert output.image_features.shape == [ROWS, TOKENS, 32]
    assert output.pooler_output.shape == [ROWS, 64]
    found = gradients(model, weighted(output.pooler_output))
    assert {f"text_bridges.{index}.norm.weight" for index in range(num_bridges - 1)} <= set(found)
    assert "image_tower.layers.3.mlp.fc1.weight" in found and "text_tower.layers.2.mlp.fc1.weight" in found


def test_top_blocks_of_towers_of_different_depth_feed_the_layers() -> None:
    model, batch = small_model(BridgeTowerModel), small_batch()
    text = model.text_tower(batch["input_ids"], batch["attention_mask"], num_states=3)
    image = model.image_tower(batch["pixel_values"], num_states=4)
    for found, expected in ((model.encode_text(batch["input_ids"], batch["attention_mask"]), text[1:]),
                            (model.encode_image(batch["pixel_values"]), image[2:])):
        assert len(found) == 2
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("num_bridges", [0, 1, 2])
@pytest.mark.parametrize("bridge_type", ["add", "cross_attention_mlp"])
def test_first_tokens_alone_are_the_same(num_bridges: int, bridge_type: str) -> None:
    model = small_model(BridgeTowerModel, num_bridges=num_bridges, bridge_type=bridge_type)
    batch = small_batch()
    every, first = model(**batch), model(**batch, first_token_only=True)
    assert first.text_features.shape == first.image_features.shape == [ROWS, 1, 32]
    assert_close(first.pooler_output, every.pooler_output.numpy())
    assert_close(first.text_features, every.text_features[:, :1].numpy())
    expected = gradients(model, weighted(model(**batch).pooler_output))
    assert_same_gradients(gradients(model, weighted(model(**batch, first_token_only=True).pooler_output)), expected)


def test_the_text_side_alone_is_the_same_and_leaves_the_image_side_out() -> None:
    model, batch = small_model(BridgeTowerModel), small_batch()
    every, text = model(**batch), model(**batch, text_only=True)
    assert text.image_features is None and text.pooler_output is None
    assert_close(text.text_features, every.text_features.numpy())
    expected = gradients(model, weighted(model(**batch).text_features))
    calls: list[int] = []
    hook = model.cross_modal_image_layers[-1].register_forward_post_hook(lambda *_: calls.append(1))
    found = gradients(model, weighted(model(**batch, text_only=True).text_features))
    hook.remove()
    assert not calls and not any(name.startswith("cross_modal_image_layers.1.") for name in found)
    assert_same_gradients(found, expected)


def test_questions_share_an_image() -> None:
    model = small_model(BridgeTowerForQuestionAnswering, num_labels=5)
    batch, rows = small_batch(rows=5, images=2), paddle.to_tensor([0, 1, 1, 0, 1])
    labels = paddle.rand([5, 5])
    apart = batch | {"pixel_values": batch["pixel_values"].index_select(rows)}
    expected = model(**apart, labels=labels)
    expected_gradients = gradients(model, expected.loss)
    encoded: list[int] = []
    hook = model.bridgetower.image_tower.register_forward_pre_hook(lambda _, args: encoded.append(args[0].shape[0]))
    found = model(**batch, labels=labels, image_rows=rows)
    hook.remove()
    assert encoded == [2]
    assert_close(found.logits, expected.logits.numpy())
    assert_same_gradients(gradients(model, found.loss), expected_gradients)


def pretraining_batch() -> dict[str, paddle.Tensor]:
    batch = small_batch()
    hidden = paddle.to_tensor(np.random.default_rng(1).random((ROWS, LENGTH)) < 0.5)
    hidden = paddle.logical_and(hidden, batch["attention_mask"] == 1)
    false = np.random.default_rng(2).standard_normal((2, 3, SIZE, SIZE)).astype(np.float32)
    return batch | {"mlm_input_ids": paddle.where(hidden, paddle.full_like(batch["input_ids"], 4), batch["input_ids"]),
                    "mlm_labels": paddle.where(hidden, batch["input_ids"], paddle.full_like(batch["input_ids"], -100)),
                    "itm_labels": paddle.to_tensor([0, 1, 0]), "false_pixel_values": paddle.to_tensor(false)}


def test_objectives_together_are_the_sum_of_each_alone() -> None:
    """One pass of the image tower serves all; the parameters of the joint model fill those with one objective."""
    joint, batch = small_model(BridgeTowerForPreTraining, objectives=["mlm", "itm", "itc"]), pretraining_batch()
    encoded: list[int] = []
    hook = joint.bridgetower.image_tower.register_forward_pre_hook(lambda _, args: encoded.append(args[0].shape[0]))
    output = joint(**batch)
    hook.remove()
    assert encoded == [ROWS + 2]
    found, summed = gradients(joint, output.loss), {}
    for objective in ("mlm", "itm", "itc"):
        alone = small_model(BridgeTowerForPreTraining, objectives=[objective])
        bridgetower.modules.load_into(alone, {name: value.numpy() for name, value in joint.named_parameters()})
        loss = alone(**batch)
        assert_close(loss.loss, output[f"{objective}_loss"].numpy())
        for name, value in gradients(alone, loss.loss).items():
            summed[name] = summed.get(name, 0) + value
    assert_same_gradients(found, summed)


def test_only_masked_positions_are_scored() -> None:
    model, batch = small_model(BridgeTowerForPreTraining, objectives=["mlm"]), pretraining_batch()
    output = model(**batch)
    masked = (batch["mlm_labels"] != -100).numpy()
    assert output.mlm_logits.shape == [masked.sum(), WORDS]
    plain = small_model(bridgetower.BridgeTowerForMaskedLM)
    bridgetower.modules.load_into(plain, {name: value.numpy() for name, value in model.named_parameters()})
    expected = plain(batch["mlm_input_ids"], batch["attention_mask"], pixel_values=batch["pixel_values"],
                     labels=batch["mlm_labels"])
    assert_close(output.mlm_logits, expected.logits.numpy()[masked])
    assert_close(output.mlm_loss, expected.loss.numpy())


def test_a_batch_without_a_masked_word_has_no_loss() -> None:
    model, batch = small_model(BridgeTowerForPreTraining, objectives=["mlm"]), pretraining_batch()
    batch["mlm_labels"] = paddle.full_like(batch["mlm_labels"], -100)
    output = model(**batch)
    assert float(output.loss) == 0.0
    assert gradients(model, output.loss) == {}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputation_gives_the_same_gradients(dropout: float) -> None:
    """With dropout, the second pass draws the masks of the first one again."""
    odds = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    model, batch = small_model(BridgeTowerForPreTraining, **odds), pretraining_batch()
    model.train()
    paddle.seed(3)
    expected = gradients(model, model(**batch).loss)
    for layer in model.sublayers(include_self=True):
        if hasattr(layer, "enable_recompute"):
            layer.enable_recompute = True
    runs: list[int] = []
    model.bridgetower.text_tower.layers[0].register_forward_post_hook(lambda *_: runs.append(1))
    paddle.seed(3)
    assert_same_gradients(gradients(model, model(**batch).loss), expected)
    assert len(runs) == 4  # two passes of the text tower (MLM and ITM), each computed twice


@pytest.mark.parametrize(("change", "message"), [
    ({"pixel_values": None}, "pixel_values is missing"),
    ({"pixel_values": paddle.zeros([2, 3, SIZE, SIZE])}, "3 texts but 2 images"),
    ({"pixel_values": paddle.zeros([3, 3, 48, 48])}, "48x48 pixels, the model is built for 32x32"),
    ({"input_ids": paddle.zeros([3, 9], "int64"), "attention_mask": None}, "9 tokens, the position table .* holds 8"),
])
def test_inputs_that_do_not_fit(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_model(BridgeTowerModel)(**(small_batch() | change))


def test_two_towers_alone() -> None:
    """Without cross-modal layers, METER is two towers that ITC compares."""
    model = small_model(BridgeTowerForPreTraining, num_hidden_layers=0, num_bridges=0, objectives=["itc"])
    output = model(**small_batch())
    found = gradients(model, output.loss)
    assert {"itc_text_head.weight", "bridgetower.text_tower.layers.2.mlp.fc1.weight", "temperature"} <= set(found)
    assert not any("cross_modal" in name for name, _ in model.named_parameters())


def test_rows_of_one_image_are_positives_in_retrieval_only() -> None:
    """The Trainer passes every part of a batch that `forward` names; every batch has `image_index`."""
    pretraining = inspect.signature(BridgeTowerForPreTraining.forward).parameters
    retrieval = inspect.signature(bridgetower.BridgeTowerForContrastiveRetrieval.forward).parameters
    assert "image_index" not in pretraining and "image_index" in retrieval
