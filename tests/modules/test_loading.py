"""Saving and loading: round trips, and what happens to weights that do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

import bridgetower
from bridgetower import BridgeTowerForMaskedLM, BridgeTowerForPreTraining, BridgeTowerForQuestionAnswering
from bridgetower.conversion import load_weights, resize_position_table
from bridgetower.modules import BridgeTowerPretrainedModel, load_into
from tests.goldens import Golden
from tests.models import WORDS, small_batch, small_config, small_model

MODELS = [name for name in bridgetower.__all__ if name.startswith(("BridgeTowerFor", "BridgeTowerModel"))]


def weights(model: BridgeTowerPretrainedModel) -> dict[str, np.ndarray]:
    return {name: parameter.numpy() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("safe", [False, True], ids=["pdparams", "safetensors"])
@pytest.mark.parametrize("name", MODELS)
def test_saved_models_come_back(tmp_path: Path, name: str, safe: bool) -> None:
    model = small_model(getattr(bridgetower, name), objectives=["mlm", "itm_itc"], num_bridges=1,
                        bridge_type="dynamic_gate", head_hidden_scale=2)
    model.save_pretrained(str(tmp_path), safe_serialization=safe)
    files = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors" if safe else "model_state.pdparams"} <= files
    again = type(model).from_pretrained(tmp_path)
    assert again.config.architectures == [name]
    assert again.config.to_dict() == model.config.to_dict() | {"architectures": [name]}
    assert not again.training
    found = weights(again)
    for key, value in weights(model).items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("safe", [False, True])
def test_a_tied_decoder_stays_tied(tmp_path: Path, safe: bool) -> None:
    model = small_model(BridgeTowerForMaskedLM, tie_word_embeddings=True)
    model.save_pretrained(str(tmp_path), safe_serialization=safe)
    again = BridgeTowerForMaskedLM.from_pretrained(tmp_path)
    table = again.get_input_embeddings().weight
    assert again.mlm_head.decoder_weight is table
    np.testing.assert_array_equal(table, model.get_input_embeddings().weight)


def test_a_pretrained_model_begins_a_downstream_one(tmp_path: Path) -> None:
    pretrained = small_model(BridgeTowerForPreTraining)
    pretrained.save_pretrained(str(tmp_path))
    model = BridgeTowerForQuestionAnswering.from_pretrained(tmp_path, num_labels=7, vision_config={"image_size": 48})
    assert (model.config.num_labels, model.config.vision_config.image_size) == (7, 48)
    expected = resize_position_table(pretrained.bridgetower.image_tower.position_embedding.numpy(), 10)
    np.testing.assert_allclose(model.bridgetower.image_tower.position_embedding, expected, atol=1e-6)
    np.testing.assert_array_equal(model.bridgetower.text_projection.weight,
                                  pretrained.bridgetower.text_projection.weight)
    batch = small_batch()
    batch["pixel_values"] = paddle.zeros([3, 3, 48, 48])
    assert model(**batch).logits.shape == [3, 7]


class Halved(BridgeTowerForQuestionAnswering):
    """A user's class whose constructor computes with a parameter, which therefore has to have values by then."""

    def __init__(self, config: bridgetower.BridgeTowerConfig) -> None:
        super().__init__(config)
        self.share = self.create_parameter([4], default_initializer=paddle.nn.initializer.Constant(2.0))
        self.share.set_value(self.share * 0.25)


def test_loading_draws_new_heads_only(tmp_path: Path) -> None:
    small_model(BridgeTowerForQuestionAnswering).save_pretrained(str(tmp_path))
    paddle.seed(7)
    expected = paddle.rand([4]).numpy()
    paddle.seed(7)
    BridgeTowerForQuestionAnswering.from_pretrained(tmp_path)
    np.testing.assert_array_equal(paddle.rand([4]), expected)
    head = BridgeTowerForMaskedLM.from_pretrained(tmp_path, initializer_range=0.5).mlm_head
    assert 0.4 < float(head.dense.weight.std()) < 0.6
    np.testing.assert_array_equal(head.dense.bias, np.zeros(32))


def test_a_class_of_a_user_may_compute_in_its_constructor(tmp_path: Path) -> None:
    model = small_model(BridgeTowerForQuestionAnswering)
    model.save_pretrained(str(tmp_path))
    again = Halved(model.config)
    again.save_pretrained(str(tmp_path / "own"))
    np.testing.assert_array_equal(Halved.from_pretrained(tmp_path / "own").share, np.full(4, 0.5))


def test_a_token_type_is_added_for_two_images() -> None:
    pretrained = small_model(BridgeTowerForPreTraining)
    model = bridgetower.BridgeTowerForImagesAndTextClassification(pretrained.config)
    report = load_into(model, weights(pretrained))
    assert all(name.startswith("classifier.") for name in report.new)
    table, found = pretrained.bridgetower.token_type_embeddings.weight, model.bridgetower.token_type_embeddings.weight
    np.testing.assert_array_equal(found, table.numpy()[[0, 1, 1]])


@pytest.mark.parametrize(("model_class", "kept"), [
    (bridgetower.BridgeTowerForImageClassification, "image_tower."),
    (bridgetower.BridgeTowerForSequenceClassification, "text_tower."),
])
def test_one_tower_is_taken_out_of_a_model(model_class: type, kept: str) -> None:
    pretrained = small_model(BridgeTowerForPreTraining)
    model = model_class(pretrained.config)
    report = load_into(model, weights(pretrained))
    assert all(name.startswith("classifier.") for name in report.new)
    source = weights(pretrained)
    for name, value in weights(model).items():
        if name.startswith(kept):
            np.testing.assert_array_equal(value, source[f"bridgetower.{name}"])


def test_the_bare_model_and_models_with_heads_read_each_other() -> None:
    bare, headed = small_model(bridgetower.BridgeTowerModel), small_model(BridgeTowerForQuestionAnswering)
    load_into(bare, weights(headed))
    np.testing.assert_array_equal(bare.text_projection.weight, headed.bridgetower.text_projection.weight)
    other = small_model(BridgeTowerForQuestionAnswering)
    report = load_into(other, weights(bare))
    assert {name.split(".")[0] for name in report.new} == {"classifier"}


@pytest.mark.parametrize(("change", "message"), [
    ("drop", "missing in the file: bridgetower.text_pooler.dense.bias"),
    ("add", "not in the model: cross_modal_text_layers.9.x"),
    ("reshape", r"bridgetower.text_pooler.dense.bias is \(5,\) in the file and \(32,\) in the model"),
    ("vocabulary", rf"word_embeddings.weight is \(9, 24\) in the file and \({WORDS}, 24\) in the model.*vocabulary"),
])
def test_weights_that_do_not_fit_are_named(change: str, message: str) -> None:
    model = small_model(BridgeTowerForQuestionAnswering)
    before, tensors = weights(model), weights(model)
    name = "bridgetower.text_pooler.dense.bias"
    if change == "drop":
        del tensors[name]
    elif change == "add":
        tensors["cross_modal_text_layers.9.x"] = np.zeros(2)
    elif change == "reshape":
        tensors[name] = np.zeros(5)
    else:
        tensors["bridgetower.text_tower.embeddings.word_embeddings.weight"] = np.zeros((9, 24))
    with pytest.raises(ValueError, match=f"the file does not fit the model BridgeTowerForQuestionAnswering.*{message}"):
        load_into(model, tensors)
    for key, value in weights(model).items():  # nothing was loaded
        np.testing.assert_array_equal(value, before[key])


def test_heads_may_be_forbidden_to_begin_anew() -> None:
    model = small_model(BridgeTowerForQuestionAnswering)
    tensors = {name: value for name, value in weights(model).items() if not name.startswith("classifier.fc2")}
    assert load_into(model, tensors).new == ("classifier.fc2.weight", "classifier.fc2.bias")
    with pytest.raises(ValueError, match="missing in the file: classifier.fc2.bias, classifier.fc2.weight"):
        load_into(model, tensors, may_miss=())


@pytest.mark.parametrize(("case", "model_class"), [
    ("snli", bridgetower.BridgeTowerForVisualEntailment),
    ("nlvr2", bridgetower.BridgeTowerForImagesAndTextClassification),
    ("vqa", BridgeTowerForQuestionAnswering),
    ("irtr", bridgetower.BridgeTowerForRetrievalRanking),
    ("irtr_itm_itc", bridgetower.BridgeTowerForContrastiveRetrieval),
    ("meter", BridgeTowerForPreTraining),
    ("meter_fusion", BridgeTowerForPreTraining),
])
def test_checkpoints_of_the_original_are_read_as_they_are(case: str, model_class: type) -> None:
    golden = Golden(case)
    model = model_class.from_pretrained(golden.folder / "weights.ckpt")
    expected = golden.model(model_class)
    assert model.config.to_dict() == expected.config.to_dict() | {"architectures": model.config.architectures}
    found = weights(model)
    for name, value in weights(expected).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_half_precision_is_widened() -> None:
    model = small_model(bridgetower.BridgeTowerModel)
    halves = {name: value.astype(np.float16) for name, value in weights(model).items()}
    load_into(model, halves)
    assert model.text_projection.weight.dtype == paddle.float32
    np.testing.assert_array_equal(model.text_projection.weight, halves["text_projection.weight"].astype(np.float32))


def test_weights_without_a_configuration_need_one(tmp_path: Path) -> None:
    model = small_model(bridgetower.BridgeTowerModel)
    model.save_pretrained(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="pass config="):
        bridgetower.BridgeTowerModel.from_pretrained(tmp_path / "model_state.pdparams")
    again = bridgetower.BridgeTowerModel.from_pretrained(tmp_path / "model_state.pdparams", config=small_config())
    np.testing.assert_array_equal(again.text_projection.weight, model.text_projection.weight)


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match="no_such_folder"):
        bridgetower.BridgeTowerModel.from_pretrained(tmp_path / "no_such_folder")


def test_the_saved_configuration_is_plain_json(tmp_path: Path) -> None:
    small_model(bridgetower.BridgeTowerModel).save_pretrained(str(tmp_path))
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["model_type"] == "bridgetower" and stored["text_config"]["num_hidden_layers"] == 3
    tensors, config = load_weights(tmp_path)
    assert config is not None and config["hidden_size"] == 32
    assert set(tensors) == set(weights(small_model(bridgetower.BridgeTowerModel)))
