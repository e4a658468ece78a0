"""Optimiser, parameter groups, schedules, and ten steps of training against the original's recorded values."""

import numpy as np
import paddle
import pytest

from bridgetower import (
    BridgeTowerForContrastiveRetrieval,
    BridgeTowerForImagesAndTextClassification,
    BridgeTowerForPreTraining,
    BridgeTowerForQuestionAnswering,
    BridgeTowerForRetrievalRanking,
    BridgeTowerForVisualEntailment,
)
from bridgetower.conversion import from_paddle, to_paddle
from bridgetower.modules import BridgeTowerModel
from bridgetower.training.optimization import AdamW, ParameterGroup, learning_rate_schedule, parameter_groups
from tests.goldens import Golden, assert_close

OPTIM = Golden("optim")
# In the original a float multiplier is the rate itself; here it always multiplies (docs/differences.md).
SCHEDULES = sorted(OPTIM.json("schedules").keys() - {"mult_head_float_is_absolute_lr"})


def parameter(value: np.ndarray) -> paddle.Tensor:
    return paddle.create_parameter(value.shape, "float32", default_initializer=paddle.nn.initializer.Assign(value))


def test_adamw_update_rule() -> None:
    golden = Golden("adamw")
    tensors = [parameter(golden[f"in_p{i}"]) for i in range(5)]
    groups = [ParameterGroup("base", 1.0, float(decay), {"p": tensor})
              for tensor, decay in zip(tensors, golden["in_weight_decay"], strict=True)]
    rates = golden["in_lr"]
    schedule = paddle.optimizer.lr.LambdaDecay(1.0, lambda step: float(rates[min(step, len(rates) - 1)]))
    optimizer = AdamW(schedule, groups, beta1=0.9, beta2=0.98, epsilon=1e-8)
    for step in range(len(rates)):
        for i, tensor in enumerate(tensors):
            (tensor * paddle.to_tensor(golden[f"in_g{i}"][step])).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
        for i, tensor in enumerate(tensors):
            # Rounding of entries of order one, over twelve steps. The fourth tensor has gradients of 1e-9: with
            # epsilon where Paddle adds it, it ends 9e-5 elsewhere.
            np.testing.assert_allclose(tensor.numpy(), golden[f"out_p{i}"][step], rtol=1e-6, atol=3e-7)


@pytest.mark.parametrize(("start", "factor", "expected"), [(0.0, 1.0, -0.095), (2.0, 1.0, 1.805), (0.0, 5.0, -0.375)])
def test_decay_follows_the_step(start: float, factor: float, expected: float) -> None:
    """(p - lr g / |g|) (1 - lr wd) for the first step, lr 0.1 times the factor and wd 0.5."""
    tensor = parameter(np.full(1, start, np.float32))
    optimizer = AdamW(0.1, [ParameterGroup("base", factor, 0.5, {"p": tensor})])
    tensor.sum().backward()
    optimizer.step()
    np.testing.assert_allclose(tensor.numpy(), [expected], rtol=1e-6)
    assert tensor.optimize_attr["learning_rate"] == factor


def test_clipping_is_by_the_norm_of_all_gradients() -> None:
    """As the original's trainer does it; with Paddle's groups, each would be clipped by a norm of its own."""
    gradients = np.array([[3.0, 0.0], [0.0, 4.0]], np.float32)

    def moments(scale: float, clip: paddle.nn.ClipGradByGlobalNorm | None) -> list[np.ndarray]:
        tensors = [parameter(np.ones(2, np.float32)) for _ in gradients]
        groups = [ParameterGroup("base", factor, 0.0, {"p": tensor}) for factor, tensor in
                  zip((1.0, 5.0), tensors, strict=True)]
        optimizer = AdamW(0.1, groups, grad_clip=clip)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            (tensor * paddle.to_tensor(scale * gradient)).sum().backward()
        optimizer.step()
        return [value.numpy() for name, value in optimizer.state_dict().items() if "_moment1_" in name]

    clipped, expected = moments(1.0, paddle.nn.ClipGradByGlobalNorm(1.0)), moments(0.2, None)  # 5 is the norm of all
    assert len(clipped) == 2
    for left, right in zip(clipped, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name: str) -> None:
    case = OPTIM.json("schedules")[name]
    settings = case["settings"]
    steps = case["max_steps"]
    if steps < 0:
        steps = case["dataloader_len"] * case["max_epochs"] // case["accumulate_grad_batches"]
    is_cosine = settings["decay_power"] == "cosine"
    schedule = learning_rate_schedule(
        "cosine" if is_cosine else "polynomial", settings["learning_rate"], steps, settings["warmup_steps"],
        settings["end_lr"], 1.0 if is_cosine else settings["decay_power"])
    factors = [1, 1] + [settings["lr_mult_head"]] * 2 + [settings["lr_mult_cross_modal"]] * 2
    for expected in case["lr_per_step_per_group"]:
        np.testing.assert_allclose([schedule() * factor for factor in factors], expected, rtol=1e-6, atol=1e-12)
        schedule.step()


#: Recorded model -> its class, and the case whose configuration it has, or changes of that of the recording itself.
GROUPED = {
    "pretrain": (BridgeTowerForPreTraining, "pretrain_roberta"),
    "pretrain_hard": (BridgeTowerForPreTraining, "pretrain_itm_itc_hard"),
    "bert": (BridgeTowerForPreTraining, "pretrain_bert"),
    "vqa": (BridgeTowerForQuestionAnswering, {"num_labels": 11}),
    "nlvr2": (BridgeTowerForImagesAndTextClassification, "nlvr2"),
    "snli": (BridgeTowerForVisualEntailment, "snli"),
    "irtr": (BridgeTowerForRetrievalRanking, "irtr"),
    "irtr_itm_itc": (BridgeTowerForContrastiveRetrieval, "irtr_itm_itc"),
    "meter": (BridgeTowerForPreTraining, {"num_bridges": 0, "objectives": ["mlm", "itm"]}),
}


@pytest.mark.parametrize("case", GROUPED)
def test_parameter_groups(case: str) -> None:
    recorded = OPTIM.json("groups")[case]
    # Some recorded models have other sizes than any recorded weights: only the names count.
    sizes = {name: np.broadcast_to(np.float32(0), shape) for name, shape in recorded["param_shapes"].items()}
    names, _ = to_paddle(sizes, "original")
    model_class, source = GROUPED[case]
    own = OPTIM.config().replace(num_hidden_layers=3, num_bridges=3)
    config = Golden(source).config() if isinstance(source, str) else own.replace(**source)
    model = model_class(config)
    assert set(dict(model.named_parameters())) == set(names)
    # The original's groups list what it has frozen too: the ITM head beside a ranking head.
    frozen, _ = to_paddle({name: sizes[name] for name in recorded["frozen"] if name in sizes}, "original")
    assert {name for name, parameter in model.named_parameters() if parameter.stop_gradient} == set(frozen)
    expected_groups = []
    for expected in recorded["groups"]:
        ours, _ = to_paddle({name: sizes[name] for name in expected["names"]}, "original", prefix="bridgetower.")
        # Alone, without the heads that read it, the mapping drops the temperature.
        kept = {"temperature"} & set(expected["names"]) & set(names)
        if members := (set(ours) | kept) - set(frozen):
            expected_groups.append((expected["lr"], expected["weight_decay"], members))
    groups = parameter_groups(model, 0.01, recorded["lr_mult_head"], recorded["lr_mult_cross_modal"])
    assert len(groups) == len(expected_groups)
    for group, (rate, decay, members) in zip(groups, expected_groups, strict=True):
        assert group.learning_rate * recorded["learning_rate"] == pytest.approx(rate)
        assert group.weight_decay == pytest.approx(decay)
        assert set(group.parameters) == members


def test_every_trainable_parameter_is_in_one_group() -> None:
    model = BridgeTowerModel(Golden("pretrain_bert").config())
    frozen = model.text_tower.embeddings.word_embeddings.weight
    frozen.stop_gradient = True
    groups = parameter_groups(model, 0.01, 5, 5)
    names = [name for group in groups for name in group.parameters]
    assert len(names) == len(set(names)) == len(model.parameters()) - 1


@pytest.mark.usefixtures("both_kernels")
def test_ten_training_steps() -> None:
    golden = Golden("trajectory")
    config = golden.config()
    no_dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    model = golden.model(BridgeTowerForVisualEntailment, text_config=no_dropout, **no_dropout)
    model.train()
    flat = golden.json("config")
    schedule = learning_rate_schedule("polynomial", flat["learning_rate"], 10, flat["warmup_steps"], flat["end_lr"],
                                      flat["decay_power"])
    groups = parameter_groups(model, flat["weight_decay"], flat["lr_mult_head"], flat["lr_mult_cross_modal"])
    optimizer = AdamW(schedule, groups, beta1=0.9, beta2=0.98, epsilon=1e-8)
    for step in range(10):
        batch = {name: golden.tensor(f"in_batch{step % 2}_{name}") for name in ("text_ids", "text_masks", "image",
                                                                                "labels")}
        loss = model(batch["text_ids"], batch["text_masks"], batch["image"], labels=batch["labels"]).loss
        assert_close(loss, golden["out_loss"][step], 1e-6)
        np.testing.assert_allclose([schedule() * group.learning_rate for group in groups], golden["out_lr"][step],
                                   rtol=1e-6)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        schedule.step()
    final, _ = from_paddle({name: p.numpy() for name, p in model.named_parameters()}, "original", task="snli")
    unstable = golden.json("unstable")
    for name, norm in golden.json("final_norms").items():
        if name in final and name not in unstable:
            np.testing.assert_allclose(np.linalg.norm(final[name]), norm, rtol=1e-6, atol=1e-6, err_msg=name)
    for name in (name for name in golden.arrays if name.startswith("final.")):
        assert_close(final[name.removeprefix("final.")], golden[name], 1e-6)
    assert config.num_bridges == 2
