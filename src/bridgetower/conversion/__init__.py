"""Checkpoints of other implementations to ours and back, without running anything that a file contains."""

from ..position import resize_position_table
from .convert import Options, Plan, plan_conversion
from .errors import CheckpointError, UnknownSettingError
from .names.mapping import detect_layout, from_paddle, to_paddle
from .names.rules import LAYOUTS
from .progress import ProgressBar
from .readers.checkpoint import Checkpoint, read_checkpoint
from .readers.hub import local_path
from .reverse import plan_reverse
from .weights import load_weights

__all__ = [
    "LAYOUTS", "Checkpoint", "CheckpointError", "Options", "Plan", "ProgressBar", "UnknownSettingError",
    "detect_layout", "from_paddle", "load_weights", "local_path", "plan_conversion", "plan_reverse", "read_checkpoint",
    "resize_position_table", "to_paddle",
]  # fmt: skip
