"""Training arguments and the Trainer: PaddleNLP's, with groups of rates, sharded batches and evaluation by task."""

from __future__ import annotations

import inspect
import json
import logging
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, List, NoReturn, Optional  # noqa: UP035  (the argument parser reads typing's names)

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.io import DataLoader
from paddlenlp.trainer import PdArgumentParser, Trainer, TrainingArguments
from paddlenlp.trainer.trainer_callback import EarlyStoppingCallback, ProgressCallback
from paddlenlp.trainer.trainer_utils import speed_metrics

from bridgetower.datasets.loader import CarefulLoader
from bridgetower.datasets.sampler import ShardedBatchSampler
from bridgetower.distributed import all_gather_objects
from bridgetower.experiment import Experiment, SettingsError, load_experiment
from bridgetower.files import write_json
from bridgetower.known import nearest
from bridgetower.tasks import Task
from bridgetower.tasks.metrics import Metrics
from bridgetower.tasks.predictions import AnswerNames, PredictionSource
from bridgetower.training.callbacks import MetricsFile, MovedFolder, ReadableProgress
from bridgetower.training.checkpoints import check_checkpoint, newest_checkpoint, training_step
from bridgetower.training.flags import EXAMPLE, OWN_FLAGS
from bridgetower.training.optimization import AdamW, learning_rate_schedule, parameter_groups
from bridgetower.training.precision import (
    FLOAT32_OPERATORS,
    check_precision,
    keep_in_float32,
    load_state,
    save_as_float32,
)
from bridgetower.training.sharding import check_parallelism, check_sharding

logger = logging.getLogger(__name__)


def _flag(name: str, default: Any) -> Any:
    return field(default=default, metadata={"help": OWN_FLAGS[name]})


@dataclass
class BridgeTowerTrainingArguments(TrainingArguments):
    """PaddleNLP's arguments and those of the README's command lines; `training.flags` describes them."""

    config_name: str = _flag("config_name", "")
    data_root: str = _flag("data_root", "data")
    checkpoint_path: Optional[str] = _flag("checkpoint_path", None)  # noqa: UP045
    image_tower: Optional[str] = _flag("image_tower", None)  # noqa: UP045
    text_tower: Optional[str] = _flag("text_tower", None)  # noqa: UP045
    batch_size: int = _flag("batch_size", 0)
    num_nodes: int = _flag("num_nodes", 0)
    num_gpus: int = _flag("num_gpus", 0)
    learning_rate: float = _flag("learning_rate", 1.0)
    device: str = _flag("device", "gpu" if paddle.device.cuda.device_count() else "cpu")
    early_stopping_patience: int = _flag("early_stopping_patience", 0)
    set: List[str] = field(default_factory=list, metadata={"help": OWN_FLAGS["set"], "action": "extend"})  # noqa: UP006

    def __post_init__(self) -> None:
        if self.metric_for_best_model is None:
            self.metric_for_best_model, self.greater_is_better = "the_metric", True
        if self.report_to is None:
            self.report_to = ["visualdl"]
        wants_evaluation = self.do_eval
        self._set_device()
        check_precision(self.bf16, self.fp16, self.fp16_opt_level, self.device)
        self._check_sharding()
        super().__post_init__()
        if self.bf16 or self.fp16:
            kept = {*FLOAT32_OPERATORS, *(self.amp_custom_black_list or ())} - {*(self.amp_custom_white_list or ())}
            self.amp_custom_black_list = sorted(kept)
        if not self.do_train:  # an evaluation strategy of the experiment file is about training
            self.do_eval = wants_evaluation
        if not (self.do_train or self.do_eval or self.do_predict):
            raise SettingsError("nothing to do: add --do_train, --do_eval or --do_predict")
        if self.per_device_train_batch_size < 1 or self.per_device_eval_batch_size < 1:
            raise SettingsError(f"--per_device_train_batch_size {self.per_device_train_batch_size} and "
                                f"--per_device_eval_batch_size {self.per_device_eval_batch_size} must be positive")
        if self.early_stopping_patience < 0 or (self.early_stopping_patience and not self.load_best_model_at_end):
            raise SettingsError(f"--early_stopping_patience {self.early_stopping_patience} must be 0 or more, and "
                                "needs --load_best_model_at_end true")
        if self.num_nodes > 0 and self.num_gpus > 0 and self.num_nodes * self.num_gpus != self.world_size:
            logger.warning("--num_nodes %d x --num_gpus %d is %d devices, but the launcher started %d; the launcher's "
                           "number counts", self.num_nodes, self.num_gpus, self.num_nodes * self.num_gpus,
                           self.world_size)
        if self.batch_size:
            a_pass = self.per_device_train_batch_size * self.world_size
            if self.batch_size < 0 or self.batch_size % a_pass:
                raise SettingsError(
                    f"--batch_size {self.batch_size} is not a multiple of --per_device_train_batch_size "
                    f"{self.per_device_train_batch_size} x {self.world_size} devices = {a_pass}; use "
                    f"{max(1, round(self.batch_size / a_pass)) * a_pass}, or another size a device")
            self.gradient_accumulation_steps = self.batch_size // a_pass

    def _set_device(self) -> None:
        try:
            paddle.set_device(self.device)
        except (ValueError, RuntimeError, OSError) as error:
            reason = (str(error).strip().splitlines() or [""])[-1]
            raise SettingsError(f"--device {self.device} cannot be used: {reason}; use --device cpu") from None

    def _check_sharding(self) -> None:
        check_parallelism({name: getattr(self, name) for name in (
            "tensor_parallel_degree", "pipeline_parallel_degree", "sep_parallel_degree", "context_parallel_degree",
            "expert_parallel_degree")})
        world, degree = paddle.distributed.get_world_size(), self.sharding_parallel_degree
        if check_sharding(self.sharding, self.sharding_parallel_config, world, self.device):
            if degree > 0 and world % degree:
                raise SettingsError(f"--sharding_parallel_degree {degree} does not divide the {world} devices; leave "
                                    "it out to shard over all of them")
        elif self.sharding:
            logger.warning("--sharding %s has no effect on one device", self.sharding)


class _Parser(PdArgumentParser):
    """Raises what argparse would print under 150 lines of usage."""

    def error(self, message: str) -> NoReturn:
        raise SettingsError(f"{message}; see train.py --help")


def parse_arguments(argv: list[str] | None = None) -> tuple[BridgeTowerTrainingArguments, Experiment]:
    """Read the command line and its experiment file; the command line wins over the file.

    Raises:
        SettingsError: unknown settings or flags, wrong values.
        FileNotFoundError: when there is no such experiment file.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = _Parser(BridgeTowerTrainingArguments, prog="train.py", allow_abbrev=False,  # type: ignore[arg-type]
                     epilog=f"Example: {EXAMPLE}")
    parser.add_argument("--help_all", action="help", help="List every flag.")
    first, _ = parser.parse_known_args([*argv, *([] if "--output_dir" in argv else ["--output_dir", "."])])
    if not first.config_name:
        raise SettingsError("--config_name is missing; name an experiment file, for instance "
                            "--config_name configs/quickstart_vqa.json")
    experiment = load_experiment(first.config_name, first.set)
    known = {f.name: f for f in fields(BridgeTowerTrainingArguments)}
    defaults: list[str] = []
    for name, value in experiment.training.items():
        if name not in known:
            raise SettingsError(f"{experiment.source}: training has no setting {name!r}{nearest(name, known)}")
        values = value if isinstance(value, list) else [value]
        words = [f"--{name}", *map(str, values)]
        try:
            parser.parse_known_args([*words, "--output_dir", "."])
        except SettingsError as error:
            raise SettingsError(f"{experiment.source}: training.{name}={value!r}: {error}") from None
        defaults += words
    arguments, unknown = parser.parse_args_into_dataclasses([*defaults, *argv], return_remaining_strings=True,
                                                            look_for_args_file=False)
    if unknown:
        flag = next((word for word in unknown if word.startswith("-")), unknown[0])
        raise SettingsError(f"{flag} is no flag of train.py{nearest(flag.lstrip('-'), known)}")
    return arguments, experiment


def checkpoint_to_resume(args: BridgeTowerTrainingArguments) -> str | None:
    """The checkpoint that the run goes on from, checked.

    `--resume_from_checkpoint last` means the newest complete one in the output folder.

    Raises:
        FileNotFoundError: when it does not exist or lacks files.
        SettingsError: when its files are not to be trusted, or the output folder holds checkpoints of an earlier run,
            which a new run would rotate away.
    """
    folder = Path(args.output_dir)
    newest = newest_checkpoint(folder)
    if args.do_train and args.resume_from_checkpoint:
        shards = max(1, args.sharding_parallel_degree)
        path: Path | None = Path(args.resume_from_checkpoint)
        if args.resume_from_checkpoint == "last":
            path = newest_checkpoint(folder, shards) or newest
        if path is None or not path.is_dir():
            raise FileNotFoundError(f"--resume_from_checkpoint {args.resume_from_checkpoint}: there is no checkpoint "
                                    f"in {path or folder}; leave the flag out to start anew")
        check_checkpoint(path, shards)
        return str(path)
    if args.do_train and newest and not args.overwrite_output_dir:
        raise SettingsError(f"--output_dir {folder} holds {newest.name} of an earlier run; add "
                            "--resume_from_checkpoint last to go on, --overwrite_output_dir to start anew, or choose "
                            "another folder")
    return None


def write_settings(args: BridgeTowerTrainingArguments, experiment: Experiment) -> None:
    """Keep all settings of a run in `training_args.json` and `experiment.json` of its output folder."""
    if args.process_index == 0:
        folder = Path(args.output_dir)
        write_json(folder / "training_args.json", json.loads(json.dumps(args.to_dict(), default=str)))
        write_json(folder / "experiment.json", asdict(experiment))


class WholeUpdates(ShardedBatchSampler):
    """Batches of training whose number is a multiple of the accumulation steps.

    PaddleNLP's loop would compute the last, incomplete group of an epoch and throw its gradients away. Instead the
    epoch is filled up from its beginning (or, with `drop_last`, cut), as one with the same batch size and no
    accumulation is.
    """

    def __init__(self, dataset: Any, batch_size: int, accumulation_steps: int, **settings: Any) -> None:
        super().__init__(dataset, batch_size, **settings)
        self.accumulation_steps = accumulation_steps

    def __len__(self) -> int:
        """Number of batches of this rank in an epoch."""
        batches, steps = super().__len__(), self.accumulation_steps
        return (batches // steps if self.drop_last else -(-batches // steps)) * steps


class BridgeTowerTrainer(Trainer):
    """PaddleNLP's Trainer with the original's parameter groups and schedule, and evaluation by task.

    Args:
        task: measures the model and writes its predictions.
        experiment: holds the three learning rates.
        eval_collator: collator of evaluation and prediction.
        answers: answer id -> string, for tasks that write answers.
    """

    def __init__(self, *args: Any, task: Task, experiment: Experiment, eval_collator: Any,
                 answers: AnswerNames | None = None, **kwargs: Any) -> None:
        self.task = task
        self.experiment = experiment
        self.eval_collator = eval_collator
        self.answers = answers
        self._train_metrics = Metrics()
        self._resumed_from: str | None = None
        super().__init__(*args, **kwargs)
        if self.args.fp16_opt_level == "O2" and (self.args.bf16 or self.args.fp16):
            save_as_float32(self.model)
        self._model_inputs = set(inspect.signature(self.model.forward).parameters)
        # The Trainer tells its state so only when it trains.
        self.state.is_local_process_zero = self.is_local_process_zero()
        self.state.is_world_process_zero = self.is_world_process_zero()
        if not self.args.disable_tqdm:
            self.remove_callback(ProgressCallback)
            self.add_callback(ReadableProgress())
        self.add_callback(MetricsFile())
        self.add_callback(MovedFolder())
        if self.args.early_stopping_patience:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping_patience))

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train; a resumed run passes over the batches it has seen without reading them.

        Args:
            resume_from_checkpoint: a folder that `check_checkpoint` accepts and whose weights the model has.
            kwargs: see PaddleNLP's Trainer.

        Raises:
            UnreadableImageError: more images than the limit are unreadable.
        """
        self._resumed_from = resume_from_checkpoint
        result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        skipped = sum(all_gather_objects(self.train_dataset.num_unreadable))
        if skipped:
            logger.warning("%d unreadable images were skipped in training; the warnings above name them", skipped)
        result.metrics["skipped_images"] = skipped
        return result

    def _load_from_checkpoint(self, resume_from_checkpoint: str | None = None) -> None:
        """Nothing: the model was built with the checkpoint's weights, which also told whether they fit."""

    def _set_state_dict_in_model(self, state_dict: Mapping[str, np.ndarray]) -> None:
        load_state(self.model, state_dict)

    def _decorate_exclude_layers(self, model: nn.Layer) -> list[Any]:
        return keep_in_float32(model)

    def _save_checkpoint(self, model: nn.Layer, metrics: Any = None) -> None:
        super()._save_checkpoint(model, metrics)
        if self.args.local_rank == -1:  # a single process, where the Trainer would never delete an old checkpoint
            self._rotate_checkpoints(use_mtime=True, output_dir=self.args.output_dir)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        # The Trainer itself restores the random generators only when it resumes in the middle of an epoch.
        self._load_rng_state(self._resumed_from)
        return super()._inner_training_loop(*args, **kwargs)

    def _get_train_sampler(self) -> ShardedBatchSampler:
        args = self.args
        sampler = WholeUpdates(
            self.train_dataset, args.per_device_train_batch_size, args.gradient_accumulation_steps, shuffle=True,
            drop_last=args.dataloader_drop_last, seed=args.seed, num_replicas=args.dataset_world_size,
            rank=args.dataset_rank, groups=getattr(self.train_dataset, "image_rows", None),
            group_size=self.experiment.data.texts_per_image)
        if not len(sampler):
            raise SettingsError(
                f"--dataloader_drop_last drops everything: {len(self.train_dataset)} samples are fewer than the "
                f"{args.train_batch_size * args.gradient_accumulation_steps * args.dataset_world_size} of an update")
        if self._resumed_from:
            updates = len(sampler) // args.gradient_accumulation_steps
            sampler.skip_batches = training_step(Path(self._resumed_from)) % updates * args.gradient_accumulation_steps
        return sampler

    def get_train_dataloader(self) -> DataLoader:
        """The batches of training; those that a resumed run has seen are not read."""
        return CarefulLoader(self.train_dataset, batch_sampler=self._get_train_sampler(),
                             collate_fn=self.data_collator, num_workers=self.args.dataloader_num_workers)

    def get_eval_dataloader(self, eval_dataset: Any = None, collator: Any = None) -> DataLoader:
        """The samples of a dataset, each once over all processes, in order."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        sampler = ShardedBatchSampler(
            dataset, self.args.per_device_eval_batch_size, evaluation=True, groups=dataset.image_rows,
            num_replicas=self.args.dataset_world_size, rank=self.args.dataset_rank)
        return CarefulLoader(dataset, batch_sampler=sampler, collate_fn=collator or self.eval_collator,
                             num_workers=self.args.dataloader_num_workers)

    def create_scheduler(self, num_training_steps: int) -> Any:
        """The schedule of the towers' rate: the file's times `--learning_rate`."""
        if self.lr_scheduler is None:
            args = self.args
            self.lr_scheduler = learning_rate_schedule(
                args.lr_scheduler_type, args.learning_rate * self.experiment.optimization.learning_rate,
                num_training_steps, args.warmup_steps or args.warmup_ratio, args.lr_end, args.power, args.num_cycles)
        return self.lr_scheduler

    def create_optimizer(self, lr_scheduler: Any = None) -> Any:
        """AdamW over the original's six groups, whose rates are factors on the towers'."""
        if self.optimizer is None:
            args, rates = self.args, self.experiment.optimization
            groups = parameter_groups(self.model, args.weight_decay, rates.lr_mult_head, rates.lr_mult_cross_modal)
            for group in groups:
                logger.info("%s: %d parameters, rate x %g, weight decay %g", group.name, len(group.parameters),
                            group.learning_rate, group.weight_decay)
            self.optimizer = AdamW(
                lr_scheduler or self.lr_scheduler, groups, args.adam_beta1, args.adam_beta2, args.adam_epsilon,
                grad_clip=nn.ClipGradByGlobalNorm(args.max_grad_norm) if args.max_grad_norm > 0 else None,
                multi_precision=args.fp16_opt_level == "O2" and (args.fp16 or args.bf16))
        return self.optimizer

    def compute_loss(self, model: nn.Layer, inputs: Mapping[str, Tensor], return_outputs: bool = False) -> Any:
        """The loss of one batch; what the batch says of each objective goes into the next log line."""
        outputs = self._forward(model, inputs)
        with paddle.no_grad():
            self.task.update(self._train_metrics, inputs, outputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def _forward(self, model: nn.Layer, inputs: Mapping[str, Tensor]) -> Any:
        return model(**{name: value for name, value in inputs.items() if name in self._model_inputs})

    def log(self, logs: dict[str, float], **kwargs: Any) -> None:
        """Add the losses and accuracies since the last line to a line of training."""
        if "loss" in logs:
            logs.update(self._train_metrics.reduced().compute())
            self._train_metrics.reset()
        super().log(logs, **kwargs)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
                 ) -> dict[str, float]:
        """Measure the model on a dataset by the task's metrics, over all processes."""
        metrics, _ = self._run(self.get_eval_dataloader(eval_dataset), metric_key_prefix, with_predictions=False)
        self.log(metrics)
        return metrics

    def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test"
                ) -> dict[str, float]:
        """Write the task's prediction file for a dataset; returns its metrics where the dataset has answers.

        Raises:
            SettingsError: when the task has no predictions.
        """
        if self.task.write is None:
            raise SettingsError(f"task {self.experiment.task.name!r} has no predictions to write; leave out "
                                "--do_predict")
        metrics, columns = self._run(self.get_eval_dataloader(test_dataset), metric_key_prefix, with_predictions=True)
        if self.is_world_process_zero():
            file = Path(self.args.output_dir) / self.task.prediction_file
            self.task.write(file, columns, PredictionSource(test_dataset, self.answers))
            logger.info("%d predictions in %s", len(next(iter(columns.values()))), file)
        return metrics

    def _run(self, loader: DataLoader, prefix: str, with_predictions: bool
             ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Run the model over a dataset; metrics of all processes, and all predictions when asked for."""
        start = time.time()
        self.model.eval()
        self.callback_handler.eval_dataloader = loader
        if self.task.measure is not None and (with_predictions or self.experiment.task.recall):
            with paddle.no_grad(), self.autocast_smart_context_manager():
                values = self.task.measure(self.model, loader.dataset, self._plain_loader, self.experiment.task)
            columns = {name: np.array([value]) for name, value in values.items()}
        else:
            values, columns = self._run_batches(loader, with_predictions)
        self.model.train()
        values["the_metric"] = self.task.selection_value(values)
        result = {f"{prefix}_{name}": value for name, value in values.items()}
        samples = len(loader.dataset)
        steps = math.ceil(samples / (self.args.per_device_eval_batch_size * self.args.dataset_world_size))
        result.update(speed_metrics(prefix, start, num_samples=samples, num_steps=steps))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, result)
        return result, columns

    def _run_batches(self, loader: DataLoader, with_predictions: bool
                     ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Add up what the task's metrics say of each batch, and collect predictions when asked for."""
        metrics, collected = Metrics(), []
        collect = self.task.collect if with_predictions or self.task.score is not None else None
        tables = loader.dataset.table_names
        for inputs in loader:
            with paddle.no_grad(), self.autocast_smart_context_manager():
                outputs = self._forward(self.model, inputs)
                self.task.update(metrics, inputs, outputs, tables)
                if collect is not None:
                    collected.append(collect(inputs, outputs))
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        values, columns = metrics.reduced().compute(), {} if collect is None else _join(collected)
        if self.task.score is not None:
            values |= self.task.score(columns, loader.dataset)
        return values, columns

    def _plain_loader(self, dataset: Any) -> DataLoader:
        """The samples of an evaluation dataset without what training adds to them."""
        return self.get_eval_dataloader(dataset, replace(self.eval_collator, mlm=False, itm=False, share_images=False))


def _join(collected: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate the columns of all batches and processes."""
    own = {name: np.concatenate([part[name] for part in collected]) for name in (collected[0] if collected else ())}
    parts = [part for part in all_gather_objects(own) if part]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
