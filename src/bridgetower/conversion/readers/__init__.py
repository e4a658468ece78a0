"""Files to named arrays, without running anything that a file contains: torch, safetensors and Paddle containers."""

from .arrays import as_dtype, count_nonfinite, dtype_name, is_float, widen
from .checkpoint import Checkpoint, read_checkpoint, read_json
from .hub import hub_name, local_path

__all__ = [
    "Checkpoint", "as_dtype", "count_nonfinite", "dtype_name", "hub_name", "is_float", "local_path",
    "read_checkpoint", "read_json", "widen",
]  # fmt: skip
