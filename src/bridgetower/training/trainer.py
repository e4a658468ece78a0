"""The Trainer: PaddleNLP's, with groups of rates, sharded batches and evaluation by task."""

from __future__ import annotations

import inspect
import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.io import DataLoader
from paddlenlp.trainer import Trainer
from paddlenlp.trainer.trainer_callback import EarlyStoppingCallback, ProgressCallback
from paddlenlp.trainer.trainer_utils import speed_metrics

from ..datasets.loader import CarefulLoader
from ..datasets.sampler import ShardedBatchSampler
from ..distributed import all_gather_objects
from ..experiment import Experiment, SettingsError, TaskSettings
from ..tasks import Task
from ..tasks.metrics import Metrics
from ..tasks.predictions import AnswerNames, PredictionSource
from .callbacks import MetricsFile, MovedFolder, ReadableProgress
from .checkpoints import MANIFEST, rotate_checkpoints, samples_per_update, write_manifest
from .optimization import AdamW, learning_rate_schedule, parameter_groups
from .precision import keep_in_float32, load_state, save_as_float32
from .preemption import Preemption
from .resuming import checked_loads
from .trainer_state import resumed_step, training_step

__all__ = ["BridgeTowerTrainer", "WholeUpdates"]

logger = logging.getLogger(__name__)


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

    lr_scheduler: Any
    optimizer: Any
    control: Any

    def __init__(self, *args: Any, task: Task, experiment: Experiment, eval_collator: Any,
                 answers: AnswerNames | None = None, **kwargs: Any) -> None:
        self.task = task
        self.experiment = experiment
        self.eval_collator = eval_collator
        self.answers = answers
        self._train_metrics = Metrics()
        self._resumed_from: str | None = None
        self._first_step = 0
        self._evaluated: tuple[int, dict[str, float]] | None = None
        self.preemption = Preemption()
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
        self.add_callback(self.preemption)

    def train(self, resume_from_checkpoint: str | None = None, **kwargs: Any) -> Any:
        """Train; a resumed run passes over the batches it has seen without reading them.

        Args:
            resume_from_checkpoint: a folder that `check_checkpoint` accepts and whose weights the model has.
            kwargs: see PaddleNLP's Trainer.

        Raises:
            UnreadableImageError: more images than the limit are unreadable.
            SettingsError: the loss is no number.
        """
        self._resumed_from = resume_from_checkpoint
        if resume_from_checkpoint:
            self._first_step = self._step_to_resume(Path(resume_from_checkpoint))
        if self.args.early_stopping_patience:
            self.add_callback(EarlyStoppingCallback(self.args.early_stopping_patience))
        with checked_loads(self._first_step):
            result = super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)
        self._check_loss(result.metrics["train_loss"])  # of the steps after the last line
        self.remove_callback(EarlyStoppingCallback)  # it would look for its metric in those of predictions too
        skipped = sum(all_gather_objects(self.train_dataset.num_unreadable))
        if skipped:
            logger.warning("%d unreadable images were skipped in training; the warnings above name them", skipped)
        result.metrics["skipped_images"] = skipped
        return result

    @property
    def _samples_per_update(self) -> int:
        args = self.args
        return args.per_device_train_batch_size * args.gradient_accumulation_steps * args.dataset_world_size

    def _step_to_resume(self, checkpoint: Path) -> int:
        """The updates that a checkpoint has seen, counted in the total batch of this run."""
        step, before, now = training_step(checkpoint), samples_per_update(checkpoint), self._samples_per_update
        first = resumed_step(step, before, now, len(self.train_dataset), self.args.dataloader_drop_last)
        if before != now:
            logger.warning("%s was trained with %d samples per update, this run takes %d: its step %d counts as step "
                           "%d", checkpoint, before, now, step, first)
        return first

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and self._first_step != training_step(Path(checkpoint)):
            self.lr_scheduler.step(self._first_step)

    def _load_from_checkpoint(self, resume_from_checkpoint: str | None = None) -> None:
        """Nothing: the model was built with the checkpoint's weights, which also told whether they fit."""

    def _set_state_dict_in_model(self, state_dict: Mapping[str, np.ndarray]) -> None:
        load_state(self.model, state_dict)

    def _decorate_exclude_layers(self, model: nn.Layer) -> list[Any]:
        return keep_in_float32(model)

    def _save_checkpoint(self, model: nn.Layer, metrics: Any = None) -> None:
        """Write a checkpoint, its manifest last; only then do older ones go."""
        args = self.args
        folder = Path(args.output_dir) / f"checkpoint-{self.state.global_step}"
        if args.should_save:  # one of that name is incomplete from now on
            (folder / MANIFEST).unlink(missing_ok=True)
        self._wait_for_all()
        try:
            super()._save_checkpoint(model, metrics)
            self._wait_for_all()
            if args.should_save:
                write_manifest(folder, self._samples_per_update)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            free = shutil.disk_usage(args.output_dir).free / 1e9
            raise OSError(f"{folder} could not be written ({error.strerror or error}; {free:.1f} GB free); it was "
                          "removed, earlier checkpoints are kept. Make room and go on with --resume_from_checkpoint "
                          "last") from error
        if args.should_save and (args.save_total_limit or 0) > 0:
            best = self.state.best_model_checkpoint
            rotate_checkpoints(Path(args.output_dir), args.save_total_limit, Path(best) if best else None)

    def _wait_for_all(self) -> None:
        if self.args.world_size > 1:
            paddle.distributed.barrier()

    def _rotate_checkpoints(self, use_mtime: bool = False, output_dir: str | None = None) -> None:
        """Nothing: PaddleNLP asks for it before the new checkpoint is complete, and goes by the date of folders."""

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
            group_size=self.experiment.data.texts_per_image, shards=getattr(self.train_dataset, "shards", ()),
            shuffle_buffer=self.experiment.data.shuffle_buffer)
        if not len(sampler):
            raise SettingsError(
                f"--dataloader_drop_last drops everything: {len(self.train_dataset)} samples are fewer than the "
                f"{args.train_batch_size * args.gradient_accumulation_steps * args.dataset_world_size} of an update")
        if self._resumed_from:
            updates = len(sampler) // args.gradient_accumulation_steps
            sampler.skip_batches = self._first_step % updates * args.gradient_accumulation_steps
        return sampler

    def check_data(self) -> None:
        """Refuse training data that are fewer than one update.

        Raises:
            SettingsError: says how many are needed.
        """
        self._get_train_sampler()

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

    def _check_loss_valid(self, loss: Tensor) -> None:
        """Nothing: PaddleNLP asks at every step, and each time the host would wait for the device."""

    def _maybe_log_save_evaluate(self, tr_loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Stop at a loss that is no number, before anything is logged or saved; it stays in the sum until then."""
        if self.control.should_log or self.control.should_save or self.control.should_evaluate:
            self._check_loss(tr_loss.item())
        super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)

    def _check_loss(self, loss: float) -> None:
        """Refuse to go on with a loss that is no number; fp16 is left to the scaler, which passes such steps over."""
        if not self.args.fp16 and not math.isfinite(loss):
            raise SettingsError(f"the loss is {loss} at step {self.state.global_step}; nothing of it is saved. Try a "
                                "smaller --learning_rate, or limit the gradients by --max_grad_norm 1")

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
        metrics, columns = self._run(self.get_eval_dataloader(eval_dataset), metric_key_prefix, with_predictions=False)
        if self.is_world_process_zero():
            self.task.write_details(Path(self.args.output_dir), metric_key_prefix, columns)
        self.log(metrics)
        if eval_dataset is None:
            self._evaluated = self.state.global_step, metrics
        return metrics

    def final_metrics(self) -> dict[str, float]:
        """What `evaluate` returns now; after a training that has just done so, the same without doing it again."""
        step, metrics = self._evaluated or (-1, {})
        if self.args.do_train and step == self.state.global_step and not self.args.load_best_model_at_end:
            return metrics
        return self.evaluate()

    def predict(self, test_dataset: Any, ignore_keys: Any = None, metric_key_prefix: str = "test"
                ) -> dict[str, float]:
        """Write the task's prediction file for a dataset; returns its metrics where the dataset has answers.

        Raises:
            SettingsError: when the task has no predictions.
        """
        if not self.task.writes_predictions:
            raise SettingsError(f"task {self.experiment.task.name!r} has no predictions to write; leave out "
                                "--do_predict")
        metrics, columns = self._run(self.get_eval_dataloader(test_dataset), metric_key_prefix, with_predictions=True)
        if self.is_world_process_zero():
            file = Path(self.args.output_dir) / str(self.task.prediction_file)
            self.task.write(file, columns, PredictionSource(test_dataset, self.answers))
            self.task.write_details(Path(self.args.output_dir), metric_key_prefix, columns)
            logger.info("%d predictions in %s", len(next(iter(columns.values()))), file)
        return metrics

    def _run(self, loader: DataLoader, prefix: str, with_predictions: bool
             ) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Run the model over a dataset; metrics of all processes, and all predictions when asked for."""
        start = time.time()
        self.model.eval()
        self.callback_handler.eval_dataloader = loader
        with paddle.no_grad(), self.autocast_smart_context_manager():
            values, columns = self.task.evaluate(_EvaluationRun(self, loader, with_predictions))
        self.model.train()
        values["the_metric"] = self.task.selection_value(values)
        result = {f"{prefix}_{name}": value for name, value in values.items()}
        samples = len(loader.dataset)
        steps = math.ceil(samples / (self.args.per_device_eval_batch_size * self.args.dataset_world_size))
        result.update(speed_metrics(prefix, start, num_samples=samples, num_steps=steps))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, result)
        return result, columns


@dataclass(frozen=True)
class _EvaluationRun:
    """One run over a dataset, see `bridgetower.tasks.Evaluation`."""

    trainer: BridgeTowerTrainer
    loader: DataLoader
    with_predictions: bool

    @property
    def model(self) -> nn.Layer:
        return self.trainer.model

    @property
    def dataset(self) -> Any:
        return self.loader.dataset

    @property
    def settings(self) -> TaskSettings:
        return self.trainer.experiment.task

    def outputs(self) -> Iterator[tuple[Mapping[str, Tensor], Any]]:
        trainer = self.trainer
        for inputs in self.loader:
            yield inputs, trainer._forward(trainer.model, inputs)
            trainer.control = trainer.callback_handler.on_prediction_step(trainer.args, trainer.state, trainer.control)

    def batches(self, dataset: Any) -> DataLoader:
        collator = replace(self.trainer.eval_collator, mlm=False, itm=False, share_images=False)
        return self.trainer.get_eval_dataloader(dataset, collator)
