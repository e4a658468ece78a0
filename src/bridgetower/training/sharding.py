"""Sharding: which of PaddleNLP's options work with this model and its optimiser."""

from __future__ import annotations

from ..experiment import SettingsError

__all__ = ["check_parallelism", "check_sharding"]

_STAGES = ("stage1", "stage2")
#: These join parameters into one buffer, which could only have one learning rate and one weight decay.
_JOINING = ("enable_stage1_tensor_fusion", "enable_stage1_overlap", "split_param")


def check_sharding(sharding: str, config: str, world_size: int, device: str) -> bool:
    """Whether the states of the optimiser are to be sharded.

    Args:
        sharding: value of `--sharding`.
        config: value of `--sharding_parallel_config`.
        world_size: number of processes.
        device: `cpu`, `gpu`, `gpu:0`, ...

    Returns:
        False when no sharding is asked for, or there is only one process.

    Raises:
        SettingsError: the stage, or an option, cannot work.
    """
    if not sharding:
        return False
    if sharding not in _STAGES:
        raise SettingsError(f"--sharding {sharding!r} is none of {' and '.join(_STAGES)}: stage3 and offload take the "
                            "parameters apart, which this model reads as a whole; use --sharding stage2")
    joining = sorted({*config.split()} & {*_JOINING})
    if joining:
        raise SettingsError(f"--sharding_parallel_config {joining[0]} joins parameters whose learning rates and weight "
                            "decays differ; leave it out")
    if world_size > 1 and sharding == "stage2" and device == "cpu":
        raise SettingsError("--sharding stage2: Paddle shards gradients on GPUs only, not on a CPU; use --sharding "
                            "stage1, or train with --device gpu")
    return world_size > 1


def check_parallelism(degrees: dict[str, int]) -> None:
    """Refuse to split the model itself.

    Args:
        degrees: flag -> its value; up to 1 is none.

    Raises:
        SettingsError: names the flag.
    """
    for flag, degree in degrees.items():
        if degree > 1:
            raise SettingsError(f"--{flag} {degree}: the layers of BridgeTower cannot be split over devices; leave it "
                                "out, and use data parallelism with --sharding stage1 or stage2")
