"""What the flags of `train.py` mean, apart from Paddle so that `--help` answers at once."""

from __future__ import annotations

import textwrap

__all__ = ["EXAMPLE", "OWN_FLAGS", "short_help"]

EXAMPLE = ("python -m paddle.distributed.launch train.py --config_name configs/quickstart_vqa.json --data_root "
           "build/quickstart/data --output_dir build/quickstart/vqa --do_train --do_eval --device cpu")

#: The flags that PaddleNLP's Trainer does not have, or to which we give a meaning of our own.
OWN_FLAGS: dict[str, str] = {
    "config_name": "Experiment file (JSON) with the model, the data, the task and defaults of all other flags; or the "
                   "config.json of a model.",
    "data_root": "Folder of the arrow files.",
    "checkpoint_path": "Weights to start from: a folder, a .pdparams or .safetensors file, or a PyTorch checkpoint.",
    "new_classifier": "Start the classifier anew, where --checkpoint_path was trained on other answers or classes.",
    "image_tower": "Without --checkpoint_path: weights of the image tower to start from, for instance an OpenAI CLIP "
                   "archive, a folder or hub name of a Hugging Face CLIP, ViT or DeiT, or CLIP-ViT-B/16 and the "
                   "other names that an experiment file knows.",
    "text_tower": "Likewise of the text tower: a folder or hub name of a Hugging Face RoBERTa or BERT, or "
                  "roberta-base and the other known names.",
    "batch_size": "Samples per update over all devices; the number of accumulation steps follows from it. 0: as many "
                  "as --gradient_accumulation_steps makes.",
    "fit_device_batch": "Take fewer samples per pass than --per_device_train_batch_size where --batch_size needs it, "
                        "so that one command line fits any number of devices; the scripts set it.",
    "num_nodes": "Expected number of hosts, checked against the launcher.",
    "num_gpus": "Expected devices per host, checked against the launcher.",
    "learning_rate": "Factor on the three learning rates of the experiment file.",
    "device": "cpu or gpu; by default gpu where Paddle finds one.",
    "early_stopping_patience": "Stop after this many evaluations without a new best one; 0 never stops.",
    "set": "Changes to the experiment file as section.key=value, for instance data.image_size=384.",
}

_TRAINER_FLAGS: dict[str, str] = {
    "output_dir": "Folder of checkpoints, logs, metrics and predictions (required).",
    "do_train, do_eval, do_predict": "What to do: train, measure on the validation split, write the prediction file "
                                     "of the test split.",
    "per_device_train_batch_size, per_device_eval_batch_size": "Samples per pass on one device.",
    "num_train_epochs, max_steps": "Length of the training; max_steps wins.",
    "lr_scheduler_type, warmup_ratio, warmup_steps, lr_end, power": "The schedule of the rates.",
    "weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm": "The optimiser; --max_grad_norm -1 does not "
                                                                         "clip.",
    "evaluation_strategy, save_strategy, logging_strategy": "no, steps or epoch; with --eval_steps, --save_steps and "
                                                            "--logging_steps. --do_eval measures at the end anyway.",
    "save_total_limit, load_best_model_at_end": "Checkpoints to keep (the best one always is), and whether to end "
                                                "with the best one.",
    "resume_from_checkpoint": "Go on from a checkpoint folder, or from the newest one in --output_dir: last.",
    "overwrite_output_dir": "Start anew in a folder that holds checkpoints of an earlier run.",
    "bf16, fp16, fp16_opt_level": "Half precision, on GPUs only; O1 keeps the weights in float32, O2 halves them too.",
    "recompute": "Keep no activations inside the layers and compute them again in the backward pass: less memory, more "
                 "time.",
    "sharding, sharding_parallel_degree": "Spread the states of the optimiser (stage1), and the gradients too (stage2, "
                                          "on GPUs only), over this many devices; by default over all.",
    "dataloader_num_workers, seed": "Loader processes per device; seed of everything random.",
}


def short_help() -> str:
    """The text of `train.py --help`."""
    lines = ["usage: train.py --config_name FILE.json --output_dir FOLDER [--do_train] [--do_eval] [--do_predict] ...",
             "", "Train, evaluate and predict with a BridgeTower model.", ""]
    for title, flags in (("Our own:", OWN_FLAGS), ("The most used ones of PaddleNLP's Trainer:", _TRAINER_FLAGS)):
        lines.append(title)
        for names, meaning in flags.items():
            lines.append("  " + ", ".join(f"--{name}" for name in names.split(", ")))
            lines += textwrap.wrap(meaning, 110, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append("")
    lines += ["--help_all lists every flag. The `training` section of the experiment file takes the same names without "
              "dashes;", "the command line wins over it.", "", "Example:", f"  {EXAMPLE}"]
    return "\n".join(lines)
