"""The command line of training: PaddleNLP's arguments and ours, over the defaults of an experiment file."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, List, NoReturn, Optional  # noqa: UP035  (the argument parser reads its names)

import paddle
from paddlenlp.trainer import IntervalStrategy, PdArgumentParser, TrainingArguments

from ..experiment import Experiment, SettingsError, load_experiment
from ..known import nearest
from .flag_ranges import check_flags
from .flags import EXAMPLE, OWN_FLAGS
from .precision import FLOAT32_OPERATORS, check_precision
from .sharding import check_parallelism, check_sharding

__all__ = ["BridgeTowerTrainingArguments", "device_batch", "parse_arguments", "report_rates"]

logger = logging.getLogger(__name__)


def _flag(name: str, default: Any) -> Any:
    return field(default=default, metadata={"help": OWN_FLAGS[name]})


@dataclass
class BridgeTowerTrainingArguments(TrainingArguments):
    """PaddleNLP's arguments and those of the README's command lines; `training.flags` describes them."""

    if TYPE_CHECKING:  # PaddleNLP's fields that are set here; mypy does not read its classes
        metric_for_best_model: Any = None
        report_to: Any = None
        do_eval: bool = False
        amp_custom_black_list: Any = None
        per_device_train_batch_size: int = 8

    config_name: str = _flag("config_name", "")
    data_root: str = _flag("data_root", "data")
    checkpoint_path: Optional[str] = _flag("checkpoint_path", None)  # noqa: UP045
    new_classifier: bool = _flag("new_classifier", False)
    image_tower: Optional[str] = _flag("image_tower", None)  # noqa: UP045
    text_tower: Optional[str] = _flag("text_tower", None)  # noqa: UP045
    batch_size: int = _flag("batch_size", 0)
    fit_device_batch: bool = _flag("fit_device_batch", False)
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
        check_flags(self)
        self._set_device()
        check_precision(self.bf16, self.fp16, self.fp16_opt_level, self.device)
        self._check_sharding()
        if IntervalStrategy(self.evaluation_strategy) is IntervalStrategy.NO:
            self.do_eval = False  # with it, PaddleNLP takes `steps` instead
        super().__post_init__()
        if self.evaluation_strategy is IntervalStrategy.NO:
            self.do_eval = wants_evaluation
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
        if self.fit_device_batch and self.batch_size > 0:
            self.per_device_train_batch_size = device_batch(self.batch_size, self.per_device_train_batch_size,
                                                            self.world_size)
        if self.batch_size:
            per_pass = self.per_device_train_batch_size * self.world_size
            if self.batch_size < 0 or self.batch_size % per_pass:
                raise SettingsError(
                    f"--batch_size {self.batch_size} is not a multiple of --per_device_train_batch_size "
                    f"{self.per_device_train_batch_size} x {self.world_size} devices = {per_pass}; use "
                    f"{max(1, round(self.batch_size / per_pass)) * per_pass}, or another size per device")
            self.gradient_accumulation_steps = self.batch_size // per_pass

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
    parser = _Parser(BridgeTowerTrainingArguments, prog="train.py", allow_abbrev=False,
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


def device_batch(total: int, largest: int, devices: int) -> int:
    """The largest batch per device that fits an update of `total` samples.

    Args:
        total: samples of an update over all devices.
        largest: what fits into the memory of a device.
        devices: number of devices.

    Returns:
        The largest number up to `largest` of which `devices` times a whole number is `total`.

    Raises:
        SettingsError: when the devices cannot share `total` evenly.
    """
    share, rest = divmod(total, devices)
    if rest or share < 1:
        fitting = max((count for count in range(1, min(devices, total) + 1) if total % count == 0), default=1)
        raise SettingsError(f"{devices} devices cannot share a batch of {total} samples evenly; use {fitting} of them, "
                            f"or --batch_size {max(1, round(total / devices)) * devices}")
    return max(size for size in range(1, min(largest, share) + 1) if share % size == 0)


#: Below it `--learning_rate` is more likely a rate, as other programs take it, than a factor.
_SMALLEST_FACTOR = 0.01


def report_rates(args: BridgeTowerTrainingArguments, experiment: Experiment) -> None:
    """Say what the learning rates of a training become, and warn when the factor looks like a rate."""
    if not args.do_train:
        return
    rates, factor = experiment.optimization, args.learning_rate
    base = factor * rates.learning_rate
    logger.info("learning rates: towers %g, cross-modal layers %g, heads %g", base, base * rates.lr_mult_cross_modal,
                base * rates.lr_mult_head)
    if factor < _SMALLEST_FACTOR:
        logger.warning("--learning_rate %g is a factor on the rates of the experiment, so that the towers learn at %g; "
                       "for a rate of %g write --set optimization.learning_rate=%g", factor, base, factor, factor)
