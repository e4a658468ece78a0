"""The ranges of the numbers among the flags of `train.py`, for those that PaddleNLP declares without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any

from ..experiment import SettingsError
from ..ranges import Range, checked

__all__ = ["check_flags"]

_PerDevice = Annotated[int, Range(1, 65_536)]
_Steps = Annotated[int, Range(1, 10**12)]
_Beta = Annotated[float, Range(0, 1)]
_Factor = Annotated[float, Range(0, 1_000_000)]
_Degree = Annotated[int, Range(-1, 65_536)]

#: A batch size of zero or less has a message of its own, see `BridgeTowerTrainingArguments`.
_FLAGS: Mapping[str, Any] = {
    "per_device_train_batch_size": Annotated[int, Range(-10**9, 65_536)],
    "per_device_eval_batch_size": Annotated[int, Range(-10**9, 65_536)],
    "batch_size": Annotated[int, Range(-10**9, 10**8)], "gradient_accumulation_steps": Annotated[int, Range(1, 10**6)],
    "eval_accumulation_steps": _Steps | None, "learning_rate": _Factor, "weight_decay": _Factor, "adam_beta1": _Beta,
    "adam_beta2": _Beta, "adam_epsilon": Annotated[float, Range(0, 1)],
    "max_grad_norm": Annotated[float, Range(-1, 10**12)],
    "num_train_epochs": Annotated[float, Range(0, 10**6, above=True)], "max_steps": Annotated[int, Range(-1, 10**12)],
    "warmup_ratio": _Beta, "warmup_steps": Annotated[int, Range(0, 10**12)], "num_cycles": _Factor, "power": _Factor,
    "logging_steps": _Steps, "save_steps": _Steps, "eval_steps": _Steps | None,
    "save_total_limit": Annotated[int, Range(0, 10**6)] | None, "seed": Annotated[int, Range(0, 2**32 - 1)],
    "sharding_degree": _Degree, "sharding_parallel_degree": _Degree, "tensor_parallel_degree": _Degree,
    "pipeline_parallel_degree": _Degree, "sep_parallel_degree": _Degree, "context_parallel_degree": _Degree,
    "expert_parallel_degree": _Degree, "dataloader_num_workers": Annotated[int, Range(0, 256)],
    "max_evaluate_steps": Annotated[int, Range(-1, 10**12)], "num_nodes": Annotated[int, Range(0, 65_536)],
    "num_gpus": Annotated[int, Range(0, 1024)], "early_stopping_patience": Annotated[int, Range(-10**9, 10**6)],
}  # fmt: skip
#: Numbers that only parts of PaddleNLP read which do not run here.
_OTHER = Annotated[float, Range(-2**32, 2**32)]


def check_flags(arguments: Any) -> None:
    """Refuse numbers outside of their ranges.

    Args:
        arguments: the training arguments, a dataclass.

    Raises:
        SettingsError: the message names the flag, the value and the range.
    """
    for field in fields(arguments):
        value = getattr(arguments, field.name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        hint = _FLAGS.get(field.name, _OTHER if is_number else Any)
        try:
            checked(value, hint, f"--{field.name} ")
        except ValueError as error:
            raise SettingsError(str(error).replace(" =", " ", 1)) from None
