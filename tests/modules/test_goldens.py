"""The models against recorded values of the original: outputs, losses and gradients."""

import numpy as np
import paddle
import pytest

from bridgetower import (
    BridgeTowerConfig,
    BridgeTowerForContrastiveRetrieval,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForPreTraining,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForRetrievalRanking,
    BridgeTowerForVisualEntailment,
)
from bridgetower.conversion import read_checkpoint, to_paddle
from bridgetower.modules import load_into
from bridgetower.modules.outputs import BridgeTowerPreTrainingOutput
from bridgetower.tasks.metrics import vqa_scores
from tests.goldens import FOLDER, Golden, assert_close, assert_gradients

pytestmark = pytest.mark.usefixtures("both_kernels")
PRETRAINING = ("pretrain_roberta", "pretrain_bert", "meter", "meter_fusion")


def dense_targets(golden: Golden, num_labels: int) -> np.ndarray:
    targets = np.zeros((len(golden["in_text_ids"]), num_labels), np.float32)
    ragged = golden.json("labels")
    for row, labels, scores in zip(targets, ragged["vqa_labels"], ragged["vqa_scores"], strict=True):
        row[labels] = scores
    return targets


def run_pretraining(golden: Golden, model: BridgeTowerForPreTraining) -> BridgeTowerPreTrainingOutput:
    labels = golden["out_itm_labels"].astype("int64")
    np.testing.assert_array_equal(labels, golden["out_itm_uses_true_image"])
    return model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                 mlm_input_ids=golden.tensor("in_text_ids_mlm"), mlm_labels=golden.tensor("in_text_labels_mlm"),
                 itm_labels=paddle.to_tensor(labels),
                 false_pixel_values=paddle.to_tensor(golden["in_false_image_0"][labels == 0]))


@pytest.mark.parametrize("case", PRETRAINING)
def test_features(case: str) -> None:
    golden = Golden(case)
    model = golden.model(BridgeTowerForPreTraining).bridgetower
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"),
                   pixel_values=golden.tensor("in_image"))
    assert_close(output.text_features, golden["out_text_feats"])
    assert_close(output.image_features, golden["out_image_feats"])
    assert_close(output.pooler_output, golden["out_cls_feats"])


def test_tower_states() -> None:
    golden = Golden("pretrain_roberta")
    model = golden.model(BridgeTowerForPreTraining).bridgetower
    ids, mask = golden.tensor("in_text_ids"), golden.tensor("in_text_masks")
    all_text = model.text_tower(ids, mask, num_states=4)
    assert_close(paddle.stack(all_text), golden["out_dbg_text_layers"])
    all_image = model.image_tower(golden.tensor("in_image"), num_states=4)
    assert_close(paddle.stack(all_image), golden["out_dbg_image_layers_after_ln_post"])
    # The recorded projections carry no token type: the original adds it when it fuses.
    for states, project, row, expected in ((all_text, model.project_text, 0, "out_uni_text_layers"),
                                           (all_image, model.project_image, 1, "out_uni_image_layers")):
        projected = paddle.stack(project(states[2:])) - model.token_type_embeddings.weight[row]
        assert_close(projected, golden[expected])


@pytest.mark.parametrize("case", PRETRAINING)
def test_pretraining_losses_and_gradients(case: str) -> None:
    golden = Golden(case)
    model = golden.model(BridgeTowerForPreTraining)
    output = run_pretraining(golden, model)
    names = ["mlm_loss", "itm_loss"] + ["itc_loss"] * ("out_itc_loss" in golden.arrays)
    for name in names:
        assert_close(output[name], golden[f"out_{name}"])
    assert_close(output.loss, golden["out_total_loss"])
    masked = golden["in_text_labels_mlm"] != -100
    assert_close(output.mlm_logits, golden["out_mlm_logits"][masked])
    np.testing.assert_array_equal(output.mlm_labels, golden["in_text_labels_mlm"][masked])
    assert_close(output.itm_logits, golden["out_itm_logits"])
    output.loss.backward()
    assert_gradients(model, golden)


def test_contrastive_similarities() -> None:
    golden = Golden("pretrain_roberta")
    model = golden.model(BridgeTowerForPreTraining)
    output = run_pretraining(golden, model)
    # Similarities over a temperature of 0.07 are of order ten.
    assert_close(output.itc_image_to_text, golden["out_sim_i2t"])
    assert_close(output.itc_text_to_image, golden["out_sim_t2i"])
    assert_close(model.temperature, golden["out_temperature"])


def test_temperature_is_clamped_in_place() -> None:
    golden = Golden("pretrain_roberta")
    model = golden.model(BridgeTowerForPreTraining)
    model.temperature.set_value(np.array(0.9, "float32"))
    output = run_pretraining(golden, model)
    assert_close(output.itc_loss, golden["out_itc_loss_when_temperature_starts_at_0p9"])
    assert_close(model.temperature, golden["out_temperature_after_0p9"])


class MostLikely:
    """Draws the candidate of the largest weight, as the recording did, and keeps the weights."""

    def __init__(self) -> None:
        self.weights: list[np.ndarray] = []

    def __call__(self, weights: paddle.Tensor) -> paddle.Tensor:
        self.weights.append(weights.numpy())
        return weights.argmax(axis=1)


def assert_hard_negatives(golden: Golden, output: BridgeTowerPreTrainingOutput, draw: MostLikely, variant: str = ""
                          ) -> None:
    assert_close(draw.weights[0], golden[f"out_{variant}weights_t2i"])
    assert_close(draw.weights[1], golden[f"out_{variant}weights_i2t"])
    np.testing.assert_array_equal(output.negative_image_index, golden[f"out_{variant}neg_image_for_text"])
    np.testing.assert_array_equal(output.negative_text_index, golden[f"out_{variant}neg_text_for_image"])
    np.testing.assert_array_equal(output.itm_labels, golden[f"out_{variant}itm_labels"])
    for name in ("itm_loss", "itc_loss", "itm_logits"):
        assert_close(output[name], golden[f"out_{variant}{name}"])
    assert_close(output.loss, golden[f"out_{variant}total_loss"])


@pytest.mark.parametrize("extra", [{}, {"gather_global_negative": True}])
def test_hard_negatives(extra: dict) -> None:
    """In one process all samples are its own, so that where negatives come from makes no difference."""
    golden, draw = Golden("pretrain_itm_itc_hard"), MostLikely()
    model = golden.model(BridgeTowerForPreTraining, **extra)
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                   mlm_input_ids=golden.tensor("in_text_ids_mlm"), mlm_labels=golden.tensor("in_text_labels_mlm"),
                   draw=draw)
    assert_hard_negatives(golden, output, draw)
    assert_close(output.mlm_loss, golden["out_mlm_loss"])
    output.loss.backward()
    assert_gradients(model, golden)


def test_contrastive_retrieval() -> None:
    """Rows that share an image are positives of each other, and never negatives."""
    golden, draw = Golden("irtr_itm_itc"), MostLikely()
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                   image_index=golden.tensor("in_img_index"), draw=draw)
    assert_hard_negatives(golden, output, draw)
    output.loss.backward()
    assert_gradients(model, golden)


def test_contrastive_retrieval_without_any_negative() -> None:
    golden, draw = Golden("irtr_itm_itc"), MostLikely()
    model = golden.model(BridgeTowerForContrastiveRetrieval)
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                   image_index=paddle.full([4], 4, "int64"), draw=draw)
    assert_hard_negatives(golden, output, draw, "allsame_")


def test_question_answering() -> None:
    golden = Golden("vqa")
    model = golden.model(BridgeTowerForQuestionAnswering)
    targets = dense_targets(golden, model.config.num_labels)
    assert_close(targets, golden["out_vqa_targets"])
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                   labels=paddle.to_tensor(targets))
    assert_close(output.logits, golden["out_vqa_logits"])
    assert_close(output.loss, golden["out_vqa_loss"])
    np.testing.assert_array_equal(output.logits.argmax(axis=1), golden["out_vqa_preds"])
    assert_close(vqa_scores(output.logits, paddle.to_tensor(targets)).mean(), golden["out_vqa_score"])
    output.loss.backward()
    assert_gradients(model, golden, task="vqa")


def test_visual_entailment() -> None:
    golden = Golden("snli")
    model = golden.model(BridgeTowerForVisualEntailment)
    output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image"),
                   labels=golden.tensor("in_labels"))
    assert_close(output.logits, golden["out_snli_logits"])
    assert_close(output.loss, golden["out_snli_loss"])
    output.loss.backward()
    assert_gradients(model, golden, task="snli")


def image_pairs(golden: Golden) -> paddle.Tensor:
    return paddle.stack([golden.tensor("in_image_0"), golden.tensor("in_image_1")], axis=1)


def test_two_images() -> None:
    golden = Golden("nlvr2")
    model = golden.model(BridgeTowerForImagesAndTextClassification)
    ids, mask = golden.tensor("in_text_ids"), golden.tensor("in_text_masks")
    output = model(ids, mask, image_pairs(golden), labels=paddle.to_tensor(golden["in_answers"].astype("int64")))
    assert_close(output.logits, golden["out_nlvr2_logits"])
    assert_close(output.loss, golden["out_nlvr2_loss"])
    output.loss.backward()
    assert_gradients(model, golden, task="nlvr2")
    shared = model(ids, mask, image_pairs(golden)[:2], image_rows=paddle.to_tensor([0, 1, 1, 0]))
    apart = model(ids, mask, image_pairs(golden).index_select(paddle.to_tensor([0, 1, 1, 0])))
    assert_close(shared.logits, apart.logits.numpy())


def test_two_images_are_asked_for() -> None:
    golden = Golden("nlvr2")
    model = golden.model(BridgeTowerForImagesAndTextClassification)
    with pytest.raises(ValueError, match=r"\(4, 3, 32, 32\).*two images per text"):
        model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"), golden.tensor("in_image_0"))


def ranked_captions(golden: Golden) -> tuple[paddle.Tensor, paddle.Tensor]:
    """The true captions, then the false ones, (B, 1 + F, L)."""
    ids = [golden["in_text_ids"]] + [golden[f"in_false_text_{i}_ids"] for i in range(3)]
    masks = [golden["in_text_masks"]] + [golden[f"in_false_text_{i}_masks"] for i in range(3)]
    return paddle.to_tensor(np.stack(ids, axis=1)), paddle.to_tensor(np.stack(masks, axis=1))


def test_retrieval_ranking() -> None:
    golden = Golden("irtr")
    model = golden.model(BridgeTowerForRetrievalRanking)
    labels = golden["out_itm_labels"].astype("int64")
    np.testing.assert_array_equal(labels, golden["out_itm_uses_true_image"])
    ids, masks = ranked_captions(golden)
    output = model(ids, masks, golden.tensor("in_image"), itm_labels=paddle.to_tensor(labels),
                   false_pixel_values=paddle.to_tensor(golden["in_false_image_0"][labels == 0]))
    assert_close(output.rank_scores, golden["out_rank_score"])
    assert_close(output.rank_loss, golden["out_irtr_loss"])
    assert_close(output.itm_logits, golden["out_itm_logits"])
    assert_close(output.itm_loss, golden["out_itm_loss"])
    assert_close(output.loss, golden["out_total_loss"])
    output.loss.backward()
    assert model.itm_head.weight.grad is None
    assert_gradients(model, golden)
    without = model(ids, masks, golden.tensor("in_image"))
    assert_close(without.loss, golden["out_irtr_loss"])


def downstream_model(model_class: type, config: str) -> paddle.nn.Layer:
    """A downstream model begun from the pre-training checkpoint at a larger image size."""
    golden = Golden("init_from_pretrain")
    # Recorded with towers of the checkpoint; the image size is the downstream one.
    settings, towers = golden.json(config), golden.json("towers")
    towers["vision"]["image_size"] = settings["image_size"]
    model = model_class(BridgeTowerConfig.from_original(settings, towers))
    tensors, _ = to_paddle(read_checkpoint(FOLDER / golden.name / "weights.ckpt").tensors, "original")
    load_into(model, tensors, golden.name)
    model.eval()
    return model


def test_two_images_from_a_pretrained_model() -> None:
    golden = Golden("init_from_pretrain")
    model = downstream_model(BridgeTowerForImagesAndTextClassification, "config_nlvr2").bridgetower
    assert_close(model.token_type_embeddings.weight, golden["out_nlvr2_token_type_embeddings"])
    assert_close(model.image_tower.position_embedding, golden["out_resized_position_table"])
    for view in (0, 1):
        output = model(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"),
                       pixel_values=golden.tensor(f"in_image_{view}"), image_token_type_idx=1 + view)
        assert_close(output.pooler_output, golden[f"out_nlvr2_cls_feats_{view}"])


def test_ranking_from_a_pretrained_model() -> None:
    golden = Golden("init_from_pretrain")
    model = downstream_model(BridgeTowerForRetrievalRanking, "config_irtr")
    pooled = model.bridgetower(golden.tensor("in_text_ids"), golden.tensor("in_text_masks"),
                               pixel_values=golden.tensor("in_image_0")).pooler_output
    assert_close(model.match_scores(pooled), golden["out_irtr_rank_score"])
    assert_close(model.itm_head(pooled), golden["out_irtr_itm_logits"])


@pytest.mark.parametrize("case", "abcde")
def test_unusual_inputs(case: str) -> None:
    """Short texts, an empty mask, padding only, padding inside a sentence, huge pixel values."""
    golden = Golden("edge_inputs")
    model = Golden("pretrain_roberta").model(BridgeTowerForPreTraining).bridgetower
    output = model(golden.tensor(f"in_{case}_text_ids"), golden.tensor(f"in_{case}_text_masks"),
                   pixel_values=golden.tensor(f"in_{case}_image"))
    assert_close(output.text_features, golden[f"out_{case}_text_feats"])
    assert_close(output.image_features, golden[f"out_{case}_image_feats"])
    assert_close(output.pooler_output, golden[f"out_{case}_cls_feats"])
