"""Named arrays to files: `.pdparams`, `.safetensors` and torch's zip format, one tensor in memory at a time."""

from .array_bytes import Progress, num_bytes
from .pickle_writers import write_pdparams, write_torch
from .safetensors_writer import write_safetensors

__all__ = ["Progress", "num_bytes", "write_pdparams", "write_safetensors", "write_torch"]
