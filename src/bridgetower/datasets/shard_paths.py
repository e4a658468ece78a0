"""What paths with globs and ranges stand for, and which names of data sets are tar shards."""

from __future__ import annotations

import os
import re
from glob import glob
from pathlib import Path

__all__ = ["expand_paths", "is_shard_pattern", "shard_paths"]

_RANGE = re.compile(r"(.*?)\{(\d+)\.\.(\d+)\}(.*)")
_MAX_NAMED = 10


def expand_paths(source: str) -> list[Path]:
    """The paths that a path, a glob or a range such as `{000..331}.tar` stands for, in order.

    A path of a range is listed whether it exists or not, and so is a glob that finds nothing, as it is written.
    """
    source = os.path.expanduser(source)
    numbers = _RANGE.fullmatch(source)
    if numbers is None:
        return [Path(name) for name in ([source] if os.path.exists(source) else sorted(glob(source, recursive=True)))
                or [source]]
    before, first, last, after = numbers.groups()
    names = (f"{before}{number:0{len(first)}}{after}" for number in range(int(first), int(last) + 1))
    return [path for name in names for path in expand_paths(name)]


def is_shard_pattern(name: str) -> bool:
    """Whether the name of a data set stands for tar shards."""
    return name.lower().endswith(".tar")


def shard_paths(pattern: str, root: Path) -> list[Path]:
    """The tar shards of a pattern, which all must exist.

    Args:
        pattern: a path, glob or range.
        root: where a relative pattern starts.

    Raises:
        FileNotFoundError: with the number of missing shards and the first of their names.
        ValueError: a range that is empty, or a shard that occurs twice.
    """
    paths = expand_paths(os.path.join(root, os.path.expanduser(pattern)))
    if not paths:
        raise ValueError(f"{pattern}: its range is empty; write the smaller number first")
    if len(set(paths)) < len(paths):
        raise ValueError(f"{pattern}: a shard occurs twice in it")
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        more = ", ..." if len(missing) > _MAX_NAMED else ""
        raise FileNotFoundError(f"{len(missing)} of the {len(paths)} tar shards of {pattern} are missing: "
                                f"{', '.join(missing[:_MAX_NAMED])}{more}; download them, or correct data.datasets")
    return paths
