"""Calls that work with the Hugging Face port work here, with the same results: arguments, tuples, sizes, loading."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import torch
import transformers

import bridgetower
from bridgetower import BridgeTowerForMaskedLM, BridgeTowerModel
from tests.goldens import assert_close
from tests.models import small_batch, small_model
from tests.modules.port import LENGTH, ROWS, SIZE, inputs, port_model

CLASSES = ["BridgeTowerModel", "BridgeTowerForMaskedLM", "BridgeTowerForImageAndTextRetrieval",
           "BridgeTowerForContrastiveLearning"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """A model of the port and ours with its weights, by class."""
    found = {}
    for name in CLASSES:
        folder = tmp_path_factory.mktemp(name)
        # The port's contrastive class adds vectors of the widths of the image tower and of the cross-modal layers.
        port = port_model(name, folder, depth=3, width=128 if "Contrastive" in name else 48,
                          logit_scale_init_value=2.6592)
        found[name] = (port, getattr(bridgetower, name).from_pretrained(folder))
    return found


def tensors(values: dict[str, Any], make: Any) -> dict[str, Any]:
    return {name: make(value) if isinstance(value, np.ndarray) else value for name, value in values.items()}


def assert_same(found: Any, expected: Any, where: str = "output") -> None:
    """Tensors are equal in tuples of the same lengths, names and shapes."""
    if isinstance(expected, (tuple, list)):
        assert isinstance(found, (tuple, list)) and len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{where}[{index}]")
    elif isinstance(expected, transformers.utils.ModelOutput):
        assert list(found.keys()) == list(expected.keys()), where
        for name in expected:
            assert_same(found[name], expected[name], f"{where}.{name}")
    else:
        assert list(found.shape) == list(expected.shape), where
        assert_close(found, expected.numpy())


RESIZED = np.random.default_rng(3).standard_normal((ROWS, 3, SIZE + 16, SIZE)).astype(np.float32)
EMBEDDED = np.random.default_rng(4).standard_normal((ROWS, 1 + (SIZE // 16) ** 2, 128)).astype(np.float32)
#: What is added to texts, masks and images, or taken away with None.
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tuple": {"return_dict": False},
    "hidden states": {"output_hidden_states": True},
    "attentions": {"output_attentions": True},
    "everything in a tuple": {"output_hidden_states": True, "output_attentions": True, "return_dict": False},
    "all that a processor returns": {"token_type_ids": np.zeros((ROWS, LENGTH), np.int64),
                                     "pixel_mask": np.ones((ROWS, SIZE, SIZE), np.int64)},
    "head mask": {"head_mask": np.ones((2, 4), np.float32)},
    "ids beside embedded words": {"inputs_embeds": np.ones((ROWS, LENGTH, 48), np.float32)},
    "no attention mask": {"attention_mask": None},
    "pixels in 64 bits": {"pixel_values": inputs()["pixel_values"].astype(np.float64)},
    "embedded images": {"image_embeds": EMBEDDED, "pixel_values": None, "output_hidden_states": True},
}


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", CLASSES)
def test_same_call_same_result(pairs: dict[str, tuple[Any, Any]], name: str, call: str) -> None:
    port, ours = pairs[name]
    values = {**inputs(), **CALLS[call]}
    with torch.no_grad(), paddle.no_grad():
        assert_same(ours(**tensors(values, paddle.to_tensor)), port(**tensors(values, torch.tensor)))


@pytest.mark.parametrize("change", [{"interpolate_pos_encoding": True, "pixel_values": RESIZED},
                                    {"interpolate_pos_encoding": True}, {"image_token_type_idx": 0},
                                    {"image_token_type_idx": 1, "labels": np.zeros(ROWS, np.int64)}], ids=str)
def test_what_only_the_bare_model_takes(pairs: dict[str, tuple[Any, Any]], change: dict[str, Any]) -> None:
    port, ours = pairs["BridgeTowerModel"]
    values = {**inputs(), **change}
    with torch.no_grad(), paddle.no_grad():
        assert_same(ours(**tensors(values, paddle.to_tensor)), port(**tensors(values, torch.tensor)))


@pytest.mark.parametrize(("name", "extra"), [
    ("BridgeTowerForMaskedLM", {"labels": np.full((ROWS, LENGTH), 5)}),
    ("BridgeTowerForImageAndTextRetrieval", {"labels": np.array([0, 1, 0])}),
    ("BridgeTowerForContrastiveLearning", {"return_loss": True}),
])
def test_the_loss_comes_first(pairs: dict[str, tuple[Any, Any]], name: str, extra: dict[str, Any]) -> None:
    port, ours = pairs[name]
    values = {**inputs(), **extra, "return_dict": False}
    with torch.no_grad(), paddle.no_grad():
        assert_same(ours(**tensors(values, paddle.to_tensor)), port(**tensors(values, torch.tensor)))


@pytest.mark.usefixtures("both_kernels")
@pytest.mark.parametrize("labels", [np.array([0, -100, 1]), np.array([[0.2, 0.8], [1, 0], [0.5, 0.5]], np.float32)],
                         ids=["one does not count", "probabilities"])
def test_labels_that_pytorch_takes(pairs: dict[str, tuple[Any, Any]], labels: np.ndarray) -> None:
    port, ours = pairs["BridgeTowerForImageAndTextRetrieval"]
    values = {**inputs(), "labels": labels}
    with torch.no_grad(), paddle.no_grad():
        assert_same(ours(**tensors(values, paddle.to_tensor)), port(**tensors(values, torch.tensor)))


def test_states_of_the_contrastive_class_are_left_out_on_request_only(pairs: dict[str, tuple[Any, Any]]) -> None:
    ours, batch = pairs["BridgeTowerForContrastiveLearning"][1], tensors(inputs(), paddle.to_tensor)
    assert ours(**batch, output_hidden_states=None).hidden_states is not None
    assert ours(**batch, output_hidden_states=False).hidden_states is None


def test_a_mask_of_another_shape_is_refused() -> None:
    model, batch = small_model(BridgeTowerModel), small_batch()
    with pytest.raises(ValueError, match=r"attention_mask has the shape \[3, 1, 6\]; give one row of 0 and 1 per text"):
        model(**batch | {"attention_mask": batch["attention_mask"].unsqueeze(1)})


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_stand_in_the_same_order(name: str) -> None:
    expected = list(inspect.signature(getattr(transformers, name).forward).parameters)
    found = inspect.signature(getattr(bridgetower, name).forward).parameters
    assert list(found)[:len(expected)] == expected
    assert all(found[extra].kind is inspect.Parameter.KEYWORD_ONLY for extra in list(found)[len(expected):])
    for argument in expected[1:]:
        assert found[argument].default == inspect.signature(
            getattr(transformers, name).forward).parameters[argument].default, argument


def test_positional_arguments(pairs: dict[str, tuple[Any, Any]]) -> None:
    port, ours = pairs["BridgeTowerForImageAndTextRetrieval"]
    values = inputs()
    row = (values["input_ids"], values["attention_mask"], None, values["pixel_values"])
    with torch.no_grad(), paddle.no_grad():
        assert_same(ours(*(None if each is None else paddle.to_tensor(each) for each in row)),
                    port(*(None if each is None else torch.tensor(each) for each in row)))


def test_the_configuration_may_ask_for_more() -> None:
    model = small_model(BridgeTowerModel, output_attentions=True, output_hidden_states=True)
    output = model(**small_batch())
    assert len(output.attentions) == len(output.hidden_states[2]) == 2
    assert model(**small_batch(), output_attentions=False, output_hidden_states=False).attentions is None


@pytest.mark.parametrize("changes", [{"gated_fusion": True, "num_bridges": 0}, {"num_bridges": 0}, {"num_bridges": 1}])
def test_asking_for_more_changes_nothing_else(changes: dict[str, Any]) -> None:
    model, batch = small_model(BridgeTowerModel, **changes), small_batch()
    plain, full = model(**batch), model(**batch, output_hidden_states=True, output_attentions=True)
    for name in plain:
        assert_close(full[name], plain[name].numpy())
    text, image, cross = full.hidden_states
    assert (len(text), len(image), len(cross)) == (4, 5, 2)
    assert_close(cross[-1][0], plain.text_features.numpy())


def test_words_that_are_embedded_already() -> None:
    """Beyond the port, which needs the ids."""
    model, batch = small_model(bridgetower.BridgeTowerForQuestionAnswering, num_labels=5), small_batch()
    batch["input_ids"][-1, -2:] = 5  # no padding: embeddings do not show it
    expected = model(**batch).logits.numpy()
    words = model.get_input_embeddings()(batch.pop("input_ids"))
    assert_close(model(**batch, inputs_embeds=words).logits, expected)
    with pytest.raises(ValueError, match="input_ids is missing"):
        model(**batch)


@pytest.mark.parametrize("name", ["BridgeTowerForQuestionAnswering", "BridgeTowerForVisualEntailment",
                                  "BridgeTowerForImagesAndTextClassification", "BridgeTowerForImageClassification",
                                  "BridgeTowerForSequenceClassification"])
def test_our_own_classes_take_what_a_processor_returns(name: str) -> None:
    model, batch = small_model(getattr(bridgetower, name)), small_batch(4)
    batch |= {"token_type_ids": paddle.zeros_like(batch["input_ids"]), "pixel_mask": paddle.ones([4, 32, 32], "int64")}
    if "Images" in name:
        batch["pixel_values"] = paddle.stack([batch["pixel_values"]] * 2, axis=1)
    known = inspect.signature(model.forward).parameters
    batch = {key: value for key, value in batch.items() if key in known}
    whole = model(**batch)
    (logits,) = model(**batch, return_dict=False)
    np.testing.assert_array_equal(logits.numpy(), whole.logits.numpy())
    assert {"token_type_ids", "pixel_mask"} & set(known)


def test_pooled_features(pairs: dict[str, tuple[Any, Any]]) -> None:
    port, ours = pairs["BridgeTowerModel"]
    draw = np.random.default_rng(0)
    states = [draw.standard_normal((ROWS, tokens, 48)).astype(np.float32) for tokens in (LENGTH, 5)]
    with torch.no_grad():
        assert_same(ours.get_cls_features(*map(paddle.to_tensor, states)),
                    port.get_cls_features(*map(torch.tensor, states)))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("without_embeddings", [False, True])
def test_sizes_and_types(pairs: dict[str, tuple[Any, Any]], name: str, without_embeddings: bool) -> None:
    port, ours = pairs[name]
    assert ours.dtype == paddle.float32
    expected = port.num_parameters(exclude_embeddings=without_embeddings)
    # Ours have no pooler of the text tower; a table of positions is a parameter here and an embedding there.
    pooler = sum(each.numel() for each in getattr(port, "bridgetower", port).text_model.pooler.parameters())
    table = getattr(ours, "bridgetower", ours).image_tower.position_embedding.size if without_embeddings else 0
    assert ours.num_parameters(exclude_embeddings=without_embeddings) == expected - pooler + table


def test_where_the_parameters_are() -> None:
    model = small_model(BridgeTowerModel)
    assert model.device == next(iter(model.parameters())).place
    assert paddle.ones([2]).to(model.device).place == model.device


def test_recomputation_by_the_names_of_the_port() -> None:
    model = small_model(BridgeTowerForMaskedLM)
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing and model.bridgetower.text_tower.enable_recompute
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_frozen_parameters_are_not_trainable() -> None:
    model = small_model(BridgeTowerModel)
    model.text_projection.weight.stop_gradient = True
    assert model.num_parameters() - model.num_parameters(only_trainable=True) == model.text_projection.weight.size


@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("words", [40, 55, 30])
def test_another_number_of_words(words: int, tie: bool, tmp_path: Path) -> None:
    model, batch = small_model(BridgeTowerForMaskedLM, tie_word_embeddings=tie, hidden_size=24), small_batch()
    batch["input_ids"] = batch["input_ids"] % 30
    before = model(**batch).logits.numpy()
    table = model.resize_token_embeddings(words)
    assert table is model.get_input_embeddings() and table.weight.shape[0] == words
    head = model.get_output_embeddings()
    assert head.weight.shape[0] == head.bias.shape[0] == model.config.text_config.vocab_size == words
    assert (head.weight is table.weight) == tie
    after = model(**batch).logits
    kept = min(words, before.shape[-1])
    assert after.shape[-1] == words
    np.testing.assert_allclose(after.numpy()[..., :kept], before[..., :kept], atol=1e-6)
    model.save_pretrained(str(tmp_path))
    again = BridgeTowerForMaskedLM.from_pretrained(tmp_path)
    np.testing.assert_allclose(again(**batch).logits.numpy(), after.numpy(), atol=1e-6)


@pytest.mark.parametrize("mean_resizing", [True, False])
def test_where_new_words_start(mean_resizing: bool) -> None:
    """Near the mean of the old ones as in transformers, or at random as in a new model."""
    model = small_model(BridgeTowerForMaskedLM, hidden_size=24)
    old, bias = model.get_input_embeddings().weight.numpy(), model.get_output_embeddings().bias.numpy()
    new = model.resize_token_embeddings(50, mean_resizing=mean_resizing).weight.numpy()[40:]
    assert (np.abs(new - old.mean(0)).max() < 1e-4) == mean_resizing and len({row.tobytes() for row in new}) == 10
    np.testing.assert_allclose(model.mlm_head.bias.numpy()[40:], bias.mean() if mean_resizing else 0, atol=1e-4)


@pytest.mark.parametrize("tie", [True, False])
def test_output_embeddings_are_set_and_tied(tie: bool) -> None:
    model = small_model(BridgeTowerForMaskedLM, tie_word_embeddings=tie, hidden_size=24)
    head = model.get_output_embeddings()
    head.weight = model.create_parameter(head.weight.shape)
    model.tie_weights()
    assert (head.weight is model.get_input_embeddings().weight) == tie
    model.set_output_embeddings(type(head)(24, 40, 1e-5))
    assert model.get_output_embeddings() is not head
    with pytest.raises(ValueError, match="BridgeTowerModel has no output embeddings"):
        small_model(BridgeTowerModel).set_output_embeddings(head)


def test_rounded_up_and_refused_numbers_of_words() -> None:
    model = small_model(BridgeTowerModel)
    assert model.get_output_embeddings() is None
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    assert model.resize_token_embeddings(41, pad_to_multiple_of=8).weight.shape[0] == 48
    with pytest.raises(ValueError, match="new_num_tokens=0 leaves no words"):
        model.resize_token_embeddings(0)


def test_loading_reports_what_is_new(tmp_path: Path) -> None:
    small_model(BridgeTowerForMaskedLM).save_pretrained(str(tmp_path))
    model, info = bridgetower.BridgeTowerForImageAndTextRetrieval.from_pretrained(tmp_path, output_loading_info=True)
    assert not model.training and set(info["missing_keys"]) == {"itm_head.weight", "itm_head.bias"}
    assert all(name.startswith("mlm_head.") for name in info["unexpected_keys"]) and info["unexpected_keys"]
    assert info["mismatched_keys"] == info["error_msgs"] == []


def test_a_classifier_of_another_size_starts_anew(tmp_path: Path) -> None:
    name = bridgetower.BridgeTowerForQuestionAnswering
    model = small_model(name, num_labels=5)
    model.save_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="classifier.fc2.bias is .5,. in the file and .7,. in the model"):
        name.from_pretrained(tmp_path, num_labels=7)
    again, info = name.from_pretrained(tmp_path, num_labels=7, ignore_mismatched_sizes=True, output_loading_info=True)
    assert sorted(info["mismatched_keys"]) == ["classifier.fc2.bias", "classifier.fc2.weight"]
    assert info["missing_keys"] == info["unexpected_keys"] == []
    assert again(**small_batch()).logits.shape == [3, 7]
    np.testing.assert_array_equal(again.classifier.fc1.weight.numpy(), model.classifier.fc1.weight.numpy())


def test_the_configuration_may_be_named(tmp_path: Path) -> None:
    small_model(BridgeTowerModel).save_pretrained(str(tmp_path))
    for config in (tmp_path, str(tmp_path / "config.json")):
        assert BridgeTowerModel.from_pretrained(tmp_path, config=config).config.hidden_size == 32


@pytest.mark.parametrize("name", CLASSES)
def test_transformers_reads_what_we_save_for_it(pairs: dict[str, tuple[Any, Any]], name: str, tmp_path: Path) -> None:
    port, ours = pairs[name]
    ours.save_pretrained(tmp_path, save_to_hf=True)
    again = getattr(transformers, name).from_pretrained(tmp_path).eval()
    batch = tensors(inputs(), torch.tensor)
    with torch.no_grad():
        assert_same(again(**batch), port(**batch))
    both_ways = getattr(bridgetower, name).from_pretrained(tmp_path)
    for key, value in both_ways.named_parameters():
        np.testing.assert_array_equal(value.numpy(), ours.state_dict()[key].numpy())


def test_what_transformers_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^num_bridges=0, but the Hugging Face port has 2 there"):
        small_model(BridgeTowerModel, num_bridges=0).save_pretrained(tmp_path / "port", save_to_hf=True)
    assert not (tmp_path / "port").exists()


def test_options_of_other_libraries_have_no_effect(tmp_path: Path) -> None:
    small_model(BridgeTowerModel).save_pretrained(str(tmp_path / "part"))
    options = dict.fromkeys(("from_hf_hub", "convert_from_torch", "low_cpu_mem_usage", "use_safetensors"), True)
    model = BridgeTowerModel.from_pretrained(tmp_path, subfolder="part", local_files_only=True, **options)
    expected = BridgeTowerModel.from_pretrained(tmp_path / "part")
    np.testing.assert_array_equal(model.text_pooler.dense.weight.numpy(), expected.text_pooler.dense.weight.numpy())
    with pytest.raises(ValueError, match="model has no setting 'local_file_only'"):
        BridgeTowerModel.from_pretrained(tmp_path / "part", local_file_only=True)


@pytest.mark.parametrize("dtype", ["float32", paddle.float32, torch.float32, np.float32, "auto"], ids=str)
@pytest.mark.parametrize("keyword", ["dtype", "torch_dtype"])
def test_types_by_any_name(tmp_path: Path, dtype: Any, keyword: str) -> None:
    small_model(BridgeTowerModel).save_pretrained(str(tmp_path))
    assert BridgeTowerModel.from_pretrained(tmp_path, **{keyword: dtype}).dtype == paddle.float32


def test_half_precision_by_type(tmp_path: Path) -> None:
    small_model(BridgeTowerModel).save_pretrained(str(tmp_path))
    model = BridgeTowerModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert model.dtype == paddle.bfloat16 and model.config.dtype == "bfloat16"
