"""Reads arrow files all through, in a process of its own: damaged ones may end it.

A line on standard input is the path of a file, and the answer to it is a line: empty, or what is wrong. It is run as a
script, without the package, so that it starts in a fraction of a second.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator

import pyarrow as pa

#: Bytes: damaged sizes may ask for any amount. The mapped file itself does not count.
_MEMORY = 4 << 30


def problem(path: str) -> str:
    """What is wrong with a file; empty when nothing is."""
    try:
        with pa.memory_map(path) as source:
            for batch in _batches(source):
                batch.validate(full=True)
    except (pa.ArrowException, OSError, MemoryError, ValueError, KeyError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _batches(source: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    """Of an Arrow file, or of a stream, which is what the `datasets` library writes."""
    if source.read(6) == b"ARROW1":
        file = pa.ipc.open_file(source)
        yield from (file.get_batch(index) for index in range(file.num_record_batches))
    else:
        source.seek(0)
        yield from pa.ipc.open_stream(source)


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for line in sys.stdin:
        print(json.dumps(problem(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
