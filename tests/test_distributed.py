"""Gathering over two processes, with gradients; and every helper with one process and no group."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from bridgetower.distributed import all_gather_objects, gather_with_gradient, rank, world_size
from bridgetower.metrics import Metrics
from tests.two_ranks import launch, rank_logs

SCRIPT = '''
import json, sys
import numpy as np
import paddle
from bridgetower.distributed import all_gather_objects, gather_with_gradient, rank, world_size
from bridgetower.metrics import Metrics

paddle.distributed.init_parallel_env()
x = paddle.to_tensor(np.arange(6, dtype="float32").reshape(2, 3) + 10 * rank(), stop_gradient=False)
everything = gather_with_gradient(x)
weights = paddle.arange(12, dtype="float32").reshape([4, 3]) * (1 + rank())  # each process has a loss of its own
(everything * everything * weights).sum().backward()
metrics = Metrics()
metrics.add("seen", 1.0 + rank(), 2)
if rank() == 1:
    metrics.add("only_here", 3.0, 4)
result = dict(everything=everything.tolist(), grad=x.grad.tolist(), world=world_size(),
              objects=all_gather_objects({"rank": rank()}), metrics=metrics.reduced().compute())
open(f"{sys.argv[1]}/{rank()}.json", "w").write(json.dumps(result))
'''


def test_one_process() -> None:
    x = paddle.ones([2, 3])
    assert gather_with_gradient(x) is x and (rank(), world_size()) == (0, 1)
    assert all_gather_objects({"a": 1}) == [{"a": 1}]
    metrics = Metrics()
    metrics.add("a", 1.0, 2)
    assert metrics.reduced().compute() == {"a": 0.5}


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = launch(tmp_path / "log", tmp_path / "script.py", tmp_path)
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    results = [json.loads((tmp_path / f"{index}.json").read_text()) for index in range(2)]
    rows = np.concatenate([np.arange(6).reshape(2, 3), np.arange(6).reshape(2, 3) + 10])
    # The losses of both processes together: sum over ranks of (rank + 1) * w * x^2.
    gradient = 2 * rows * np.arange(12).reshape(4, 3) * 3
    for index, result in enumerate(results):
        np.testing.assert_allclose(result["everything"], rows)
        np.testing.assert_allclose(result["grad"], gradient[2 * index : 2 * index + 2])
        assert result["world"] == 2 and result["objects"] == [{"rank": 0}, {"rank": 1}]
        assert result["metrics"] == {"seen": 0.75, "only_here": 0.75}
