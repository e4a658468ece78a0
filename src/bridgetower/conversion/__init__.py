"""Checkpoints of other implementations to Paddle and back, without running anything that a file contains.

Imports run in one direction: `errors` is at the bottom; `names` knows rules, settings and shapes, but no files;
`readers` open files and ask `names` which layout they have; `writers` share the array types of `readers`; the modules
of this package (`weights`, `plan`, then `convert` and `reverse`) put them together.
"""

from ..position import resize_position_table
from .conversion_plan import Options, Plan
from .convert import plan_conversion, with_settings
from .errors import CheckpointError, UnknownSettingError
from .names import LAYOUTS, detect_layout, from_paddle, to_paddle
from .readers import Checkpoint, hub_name, local_path, read_checkpoint
from .reverse import plan_reverse, write_port_folder
from .weights import load_normalization, load_settings, load_weights

__all__ = [
    "LAYOUTS", "Checkpoint", "CheckpointError", "Options", "Plan", "UnknownSettingError", "detect_layout",
    "from_paddle", "hub_name", "load_normalization", "load_settings", "load_weights", "local_path", "plan_conversion",
    "plan_reverse", "read_checkpoint", "resize_position_table", "to_paddle", "with_settings", "write_port_folder",
]  # fmt: skip
