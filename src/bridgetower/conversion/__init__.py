"""Checkpoints of other implementations to ours and back, without running anything that a file contains."""

from .checkpoint import Checkpoint, read_checkpoint
from .convert import Options, Plan, plan_conversion
from .errors import CheckpointError, UnknownSettingError
from .hub import local_path
from .loading import load_weights
from .mapping import detect_layout, from_paddle, to_paddle
from .position import resize_position_table
from .progress import ProgressBar
from .reverse import plan_reverse
from .rules import LAYOUTS

__all__ = [
    "LAYOUTS", "Checkpoint", "CheckpointError", "Options", "Plan", "ProgressBar", "UnknownSettingError",
    "detect_layout", "from_paddle", "load_weights", "local_path", "plan_conversion", "plan_reverse", "read_checkpoint",
    "resize_position_table", "to_paddle",
]  # fmt: skip
