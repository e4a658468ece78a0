"""Every experiment file of configs/: read by the real parser, and equal to the original's settings value by value."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest

from bridgetower import BridgeTowerConfig
from bridgetower.config import _MODEL_FIELDS, BridgeTowerTextConfig
from bridgetower.datasets.cifar_images import CIFAR
from bridgetower.datasets.glue_tasks import GLUE
from bridgetower.datasets.specs import dataset_spec
from bridgetower.experiment import Experiment, SettingsError
from bridgetower.inputs.transforms import TRANSFORM_KEYS
from bridgetower.known import TEXT_TOWERS
from bridgetower.tasks import get_task
from trainer_util import BridgeTowerTrainingArguments, parse_arguments
from utils import build_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.json") if not path.name.startswith("quickstart"))
ORIGINAL = json.loads((ROOT / "tests/data/original_configs.json").read_text(encoding="utf-8"))

#: Our experiment file -> the original's launch script.
SCRIPTS = {
    "pretrain_config.json": "pre_train.sh",
    "pretrain_large_config.json": "pre_train_large.sh",
    "vqav2_config.json": "ftfpt_base_vqa.sh",
    "vqav2_large_config.json": "ftfpt_large_vqa.sh",
    "vqav2_from_towers_config.json": "ftfs_base_vqa.sh",
    "vqav2_large_from_towers_config.json": "ftfs_large_vqa.sh",
    "snli_ve_config.json": "ftfpt_base_snlive.sh",
    "nlvr2_config.json": "ftfpt_base_nlvr2.sh",
    "irtr_f30k_config.json": "ftfpt_base_irtr_flickr.sh",
    "irtr_itm_itc_f30k_config.json": "ftfpt_base_irtr_itm_itc_flickr.sh",
    "irtr_itm_itc_coco_config.json": "ftfpt_base_irtr_itm_itc_coco.sh",
}
#: Variants of one of those: what differs in them.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "pretrain_itc_config.json": ("pretrain_config.json", {"task.objectives": ["mlm", "itm", "itc"],
                                                          "model.contrastive_hidden_size": 256}),
    "pretrain_itm_itc_config.json": ("pretrain_config.json", {"task.objectives": ["mlm", "itm_itc"],
                                                              "model.contrastive_hidden_size": 256}),
    # The data, batch size, epochs and rate of the released large contrastive model, by its model card.
    "pretrain_large_itc_config.json": ("pretrain_large_config.json", {
        "task.objectives": ["mlm", "itm", "itc"], "model.contrastive_hidden_size": 512,
        "data.datasets": ["coco", "vg", "sbu", "gcc", "cc12m"], "optimization.learning_rate": 1e-7,
        "training.batch_size": 2048, "training.max_steps": -1}),
    "vqav2_vgqa_config.json": ("vqav2_config.json", {"data.vqa_extra_train_tables": ["vgqa_train", "vgqa_val"]}),
    "vqav2_large_vgqa_config.json": ("vqav2_large_config.json",
                                     {"data.vqa_extra_train_tables": ["vgqa_train", "vgqa_val"]}),
}

#: Experiments for a user's own tables, whose data sets are named when they are launched -> the task.
OWN = {"finetune_classify.json": "classify", "finetune_vqa.json": "vqa", "finetune_retrieval.json": "irtr_itm_itc",
       "finetune_pretrain.json": "pretrain"}

Read = Callable[[Experiment, BridgeTowerTrainingArguments, BridgeTowerConfig], Any]
#: The original's key -> where ours has it. A script's value must equal it.
COUNTERPARTS: dict[str, Read] = {
    "datasets": lambda e, a, c: list(e.data.datasets),
    "train_transform_keys": lambda e, a, c: [e.data.train_transform],
    "val_transform_keys": lambda e, a, c: [e.data.eval_transform],
    "image_size": lambda e, a, c: (e.data.image_size, c.vision_config.image_size),
    "max_text_len": lambda e, a, c: e.data.max_text_len,
    "tokenizer": lambda e, a, c: e.data.tokenizer,
    "whole_word_masking": lambda e, a, c: e.data.whole_word_masking,
    "mlm_prob": lambda e, a, c: e.data.mlm_probability,
    "debug_num": lambda e, a, c: e.data.debug_limit,
    "draw_false_image": lambda e, a, c: int("itm" in get_task(e.task).objectives(e.task)),
    "draw_false_text": lambda e, a, c: get_task(e.task).num_false_texts(e.task),
    "head_hidden_scale": lambda e, a, c: c.head_hidden_scale,
    "patch_size": lambda e, a, c: c.vision_config.patch_size,
    "input_image_embed_size": lambda e, a, c: c.vision_config.hidden_size,
    "input_text_embed_size": lambda e, a, c: c.text_config.hidden_size,
    "vocab_size": lambda e, a, c: c.text_config.vocab_size,
    "hidden_size": lambda e, a, c: c.hidden_size,
    "num_heads": lambda e, a, c: c.num_attention_heads,
    "num_layers": lambda e, a, c: (c.num_hidden_layers, c.num_bridges),
    "mlp_ratio": lambda e, a, c: c.intermediate_size / c.hidden_size,
    "drop_rate": lambda e, a, c: (c.hidden_dropout_prob, c.attention_probs_dropout_prob),
    "meter_fusion": lambda e, a, c: c.gated_fusion,
    "temperature": lambda e, a, c: c.initial_temperature,
    "contrastive_hidden_size": lambda e, a, c: c.contrastive_hidden_size,
    "gather_global_negative": lambda e, a, c: c.gather_global_negative,
    "learning_rate": lambda e, a, c: e.optimization.learning_rate * a.learning_rate,
    "lr_mult_head": lambda e, a, c: e.optimization.lr_mult_head,
    "lr_mult_cross_modal": lambda e, a, c: e.optimization.lr_mult_cross_modal,
    "weight_decay": lambda e, a, c: a.weight_decay,
    "decay_power": lambda e, a, c: a.power,
    "end_lr": lambda e, a, c: a.lr_end,
    "warmup_steps": lambda e, a, c: a.warmup_ratio,
    "max_epoch": lambda e, a, c: a.num_train_epochs,
    "max_steps": lambda e, a, c: a.max_steps,
    "batch_size": lambda e, a, c: a.batch_size,
    "per_gpu_batchsize": lambda e, a, c: a.per_device_train_batch_size,
    "per_gpu_eval_batchsize": lambda e, a, c: a.per_device_eval_batch_size,
    "seed": lambda e, a, c: a.seed,
    "log_every_n_steps": lambda e, a, c: a.logging_steps,
    "num_workers": lambda e, a, c: a.dataloader_num_workers,
    "precision": lambda e, a, c: 16 if a.fp16 or a.bf16 else 32,
    "optim_type": lambda e, a, c: a.optim.value,
}
#: Keys that only some tasks read.
TASK_COUNTERPARTS: dict[str, dict[str, Read]] = {
    "vqa": {"vqav2_label_size": lambda e, a, c: c.num_labels},
    "irtr": {"get_recall_metric": lambda e, a, c: e.task.recall,
             "per_gpu_eval_batchsize_fusion_text": lambda e, a, c: e.task.pairs_per_pass},
    "irtr_itm_itc": {"get_recall_metric": lambda e, a, c: e.task.recall, "k_test": lambda e, a, c: e.task.k_test},
}
#: Keys without a counterpart, and why none is needed.
NOT_SETTINGS = {
    "root_dir", "data_root", "log_dir", "output_dir", "load_path", "num_gpus", "num_nodes",  # given when launched
    "exp_name", "group_name", "run_name", "resume_from", "fast_dev_run", "test_only",
    "loss_names", "task_threshold", "val_check_interval",  # compared below
    "model_type", "vit",  # compared as a whole model below
    "resolution_before", "image_only", "vit_remove_last",  # not read with these towers and tasks
    "vit_layernorm_shared", "vit_layernorm_init_from_vit", "task_head_layers", "nlvr2_drop_rate",  # one choice only
    "amp_flag", "image_chunks", "text_chunks", "save_memory",  # change memory, not results
    "per_gpu_eval_batchsize_text", "per_gpu_eval_batchsize_image",
    "gather_with_grads", "gather_all_image_inputs",  # ITC always gathers with gradients
    "vqav2_label_size", "get_recall_metric", "k_test", "per_gpu_eval_batchsize_fusion_text",  # of some tasks, above
}
#: Experiments of a single tower -> the original's sweep, and the data set.
SWEEPS = {"cifar10_config.json": ("ftfpt_cifar.sh", "cifar10"), "cifar100_config.json": ("ftfpt_cifar.sh", "cifar100"),
          "glue_config.json": ("ftfpt_glue.sh", "cola")}
SWEEP_COUNTERPARTS = {name: COUNTERPARTS[name] for name in (
    "batch_size", "per_gpu_batchsize", "per_gpu_eval_batchsize", "learning_rate", "weight_decay", "max_epoch",
    "max_steps", "warmup_steps", "seed", "log_every_n_steps", "precision")}
SWEEP_COUNTERPARTS["adam_epsilon"] = lambda e, a, c: a.adam_epsilon
CIFAR_COUNTERPARTS: dict[str, Read] = {name: COUNTERPARTS[name] for name in (
    "image_size", "patch_size", "input_image_embed_size", "num_workers")}
GLUE_COUNTERPARTS: dict[str, Read] = {
    "tokenizer": COUNTERPARTS["tokenizer"], "max_seq_length": COUNTERPARTS["max_text_len"],
    "patience": lambda e, a, c: a.early_stopping_patience}
#: What the original's sweeps take from the launch; its CIFAR runs have `patience` but stop at no epoch before the last.
SWEEP_NOT_SETTINGS = NOT_SETTINGS | {"load_flag", "patience"}


def parse(config: str) -> tuple[Experiment, BridgeTowerTrainingArguments]:
    args, experiment = parse_arguments(["--config_name", str(ROOT / "configs" / config), "--output_dir", "unused",
                                        "--do_train"])
    return experiment, args


def model_config(experiment: Experiment, from_checkpoint: bool = True) -> BridgeTowerConfig:
    """The configuration of the run's model; fine-tuning takes that of its pre-trained checkpoint, if there is one."""
    tokenizer = tokenizer_of(experiment)
    stored = None
    if not experiment.model and from_checkpoint:
        pretraining, _ = parse("pretrain_large_config.json" if "large" in experiment.source else "pretrain_config.json")
        stored = build_config(pretraining, tokenizer, None)
    return build_config(experiment, tokenizer, experiment.task.num_labels, stored)


def tokenizer_of(experiment: Experiment) -> Any:
    text = BridgeTowerTextConfig(**TEXT_TOWERS[experiment.data.tokenizer].settings)
    return SimpleNamespace(vocab_size=text.vocab_size, pad_token_id=text.pad_token_id)


def original(script: str) -> dict[str, Any]:
    return ORIGINAL["common"] | ORIGINAL["scripts"][script]["config"]


def test_every_file_is_compared() -> None:
    assert set(CONFIGS) == set(SCRIPTS) | set(VARIANTS) | set(SWEEPS) | set(OWN)


@pytest.mark.parametrize("config", OWN)
def test_own_tables_leave_inputs_to_the_checkpoint(config: str) -> None:
    """Tokenizer, sizes and transform are not named; the best of the epochs is kept, and rates fall to zero."""
    experiment, args = parse(config)
    assert experiment.task.name == OWN[config] and not experiment.given and not experiment.model
    assert experiment.task.num_labels is None and not experiment.data.datasets
    assert args.load_best_model_at_end and args.save_total_limit == 2 and args.lr_end == 0
    assert args.evaluation_strategy == args.save_strategy
    assert args.batch_size % args.per_device_train_batch_size == 0


@pytest.mark.parametrize("config", SWEEPS)
def test_sweeps_are_the_originals(config: str) -> None:
    script, dataset = SWEEPS[config]
    first = next(run for run in ORIGINAL["scripts"][script]["runs"] if run["group_name"] == dataset)
    theirs = ORIGINAL["scripts"][script]["config"] | first
    experiment, args = parse(config)
    model = model_config(experiment)
    counterparts = SWEEP_COUNTERPARTS | (GLUE_COUNTERPARTS if script == "ftfpt_glue.sh" else CIFAR_COUNTERPARTS)
    assert set(theirs) <= set(counterparts) | SWEEP_NOT_SETTINGS, "a key of the original that nothing compares"
    for key, read in counterparts.items():
        ours = read(experiment, args, model)
        for value in ours if isinstance(ours, tuple) else (ours,):
            assert value == theirs[key], key
    assert experiment.data.datasets == (dataset,) and args.load_best_model_at_end
    assert experiment.optimization.lr_mult_head == 1 and args.lr_scheduler_type.value == "linear"
    assert experiment.data.train_transform == experiment.data.eval_transform == "clip"


@pytest.mark.parametrize("config", SCRIPTS)
def test_values_are_the_originals(config: str) -> None:
    theirs = original(SCRIPTS[config])
    experiment, args = parse(config)
    model = model_config(experiment)
    counterparts = COUNTERPARTS | TASK_COUNTERPARTS.get(experiment.task.name, {})
    assert set(theirs) == set(counterparts) | NOT_SETTINGS, "a key of the original that nothing compares"
    for key, read in counterparts.items():
        ours = read(experiment, args, model)
        for value in ours if isinstance(ours, tuple) else (ours,):
            assert value == theirs[key], key
    active = [name for name, value in theirs["loss_names"].items() if value > theirs["task_threshold"]]
    if experiment.task.name == "pretrain":
        assert sorted(experiment.task.objectives) == sorted(active)
    else:
        assert experiment.task.name in active and set(active) <= {experiment.task.name, "itm"}
    assert theirs["val_check_interval"] == 1.0 and args.evaluation_strategy.value == "epoch"


@pytest.mark.parametrize("from_checkpoint", [True, False])
@pytest.mark.parametrize("config", SCRIPTS)
def test_models_are_the_originals(config: str, from_checkpoint: bool) -> None:
    experiment, _ = parse(config)
    ours, theirs = model_config(experiment, from_checkpoint), BridgeTowerConfig.from_original(original(SCRIPTS[config]))
    for name in _MODEL_FIELDS:
        mine, value = getattr(ours, name), getattr(theirs, name)
        if name == "objectives" and experiment.task.name != "pretrain":
            continue  # only pre-training has any
        if name == "num_labels" and experiment.task.name not in ("vqa", "snli", "nlvr2"):
            continue
        assert (mine.to_dict() if name.endswith("_config") else mine) == \
            (value.to_dict() if name.endswith("_config") else value), name


@pytest.mark.parametrize("config", SCRIPTS)
def test_derived_values(config: str) -> None:
    """What the original works out from its settings: accumulation on its devices, rates, warm-up, last test pass."""
    derived = ORIGINAL["scripts"][SCRIPTS[config]]["derived"]
    experiment, args = parse(config)
    devices = 64 if SCRIPTS[config].startswith("pre_train") else 8
    accumulation = args.batch_size / (args.per_device_train_batch_size * devices)
    assert (accumulation, args.batch_size) == (derived["accumulate_grad_batches"], derived["effective_batch_size"])
    rates = experiment.optimization
    assert rates.learning_rate * rates.lr_mult_head == pytest.approx(derived["lr_head"])
    assert rates.learning_rate * rates.lr_mult_cross_modal == pytest.approx(derived["lr_cross_modal"])
    assert derived["warmup_rule"] == f"first {args.warmup_ratio} of total optimizer steps"
    if derived["test_pass_after_training"]:
        assert args.load_best_model_at_end == derived["test_pass_checkpoint"].startswith("best")
        assert get_task(experiment.task).write is not None


@pytest.mark.parametrize("config", VARIANTS)
def test_variants_differ_only_where_they_say(config: str) -> None:
    base, changes = VARIANTS[config]
    content, expected = (json.loads((ROOT / "configs" / name).read_text(encoding="utf-8")) for name in (config, base))
    for key, value in changes.items():
        section, name = key.split(".")
        expected[section][name] = value
    assert content == expected


@pytest.mark.parametrize("config", CONFIGS)
def test_models_without_a_checkpoint_are_of_the_size_in_the_name(config: str) -> None:
    """Built as a run from single towers builds them, but without memory for their parameters."""
    experiment, _ = parse(config)
    with paddle.LazyGuard():
        model = get_task(experiment.task).model(model_config(experiment, from_checkpoint=False))
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if not name.endswith("image_tower.position_embedding"):  # which grows with the image size
            part = name.removeprefix("bridgetower.").split(".")[0]
            sizes[part] = sizes.get(part, 0) + int(np.prod(parameter.shape))
    text, image, width = (354_310_144, 302_916_608, 1024) if "large" in config else (124_055_040, 85_648_128, 768)
    parts = {"text_tower": text, "image_tower": image, "text_pooler": width * (width + 1)}
    alone = {"cifar": "image_tower", "glue": "text_tower"}.get(experiment.task.name)
    assert {part: sizes.get(part) for part in parts} == {
        part: size if alone in (None, part) else None for part, size in parts.items()}


def test_a_checkpoint_has_what_the_file_leaves_out() -> None:
    """A change of one setting keeps all others of a checkpoint; `new_model` is for runs without one."""
    experiment, _ = parse("vqav2_large_config.json")
    experiment = replace(experiment, model={"hidden_dropout_prob": 0.3, "text_config": {"hidden_dropout_prob": 0.2}})
    stored = BridgeTowerConfig(text_config={"hidden_size": 384, "layer_norm_eps": 1e-6}, cross_layer_norm_eps=1e-5,
                               num_hidden_layers=4, vision_config={"patch_size": 14, "image_size": 294}, num_labels=7)
    stored.name_labels({3: "two"})
    found = build_config(experiment, None, None, stored)
    assert (found.hidden_size, found.num_hidden_layers, found.cross_layer_norm_eps) == (768, 4, 1e-5)
    assert (found.text_config.hidden_size, found.text_config.layer_norm_eps) == (384, 1e-6)
    assert (found.hidden_dropout_prob, found.text_config.hidden_dropout_prob) == (0.3, 0.2)
    assert (found.vision_config.patch_size, found.vision_config.image_size) == (14, 574)
    assert found.num_labels == 7 and found.label_names == {3: "two"}
    assert build_config(experiment, None, None).hidden_size == 1024
    for settings, message in (({"text_config": 3}, "model.text_config=3 is int"),
                              ({"hidden_sise": 3}, "did you mean 'hidden_size'"),
                              ({"text_config": {"hiden_size": 3}}, "text_config has no setting 'hiden_size'")):
        with pytest.raises(SettingsError, match=message):
            build_config(replace(experiment, model=settings), None, None, stored)


@pytest.mark.parametrize("config", CONFIGS)
def test_files_make_sense(config: str) -> None:
    """Each builds its model's configuration; data sets, transforms and optimiser are those that the code knows."""
    experiment, args = parse(config)
    model = model_config(experiment)
    assert model.vision_config.image_size == experiment.data.image_size
    assert model.num_bridges == model.num_hidden_layers == 6
    for name in experiment.data.datasets:
        assert name in CIFAR or name in GLUE or dataset_spec(name).train
    assert {experiment.data.train_transform, experiment.data.eval_transform} <= set(TRANSFORM_KEYS)
    assert (args.adam_beta1, args.adam_beta2, args.max_grad_norm, args.learning_rate) == (0.9, 0.98, -1, 1)
    assert config in SWEEPS or (args.lr_scheduler_type.value == "polynomial" and args.adam_epsilon == 1e-8)
    assert args.metric_for_best_model == "the_metric" and args.greater_is_better
