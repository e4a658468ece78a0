"""Two processes: gathering with gradients, gradients that meet once an update; and helpers with no group at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.utils import unique_name

import train
from bridgetower.distributed import all_gather_objects, gather_with_gradient, rank, world_size
from bridgetower.tasks.metrics import Metrics
from tests.miniature import write_experiment, write_miniature
from tests.two_ranks import launch, rank_logs

SCRIPT = '''
import json, sys
import numpy as np
import paddle
from bridgetower.distributed import all_gather_objects, gather_with_gradient, rank, world_size
from bridgetower.tasks.metrics import Metrics
from bridgetower.runtime import die_with_launcher, exit_together

die_with_launcher()
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
exit_together(0)
'''


def test_one_process() -> None:
    x = paddle.ones([2, 3])
    assert gather_with_gradient(x) is x and (rank(), world_size()) == (0, 1)
    assert all_gather_objects({"a": 1}) == [{"a": 1}]
    metrics = Metrics()
    metrics.add("a", 1.0, 2)
    assert metrics.reduced().compute() == {"a": 0.5}


@pytest.mark.slow
def test_two_processes(warm_python: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = launch(warm_python, tmp_path / "log", tmp_path / "script.py", tmp_path)
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


#: Runs train.py and writes how far a gradient is apart on the processes: after passes in between, and before updates.
WATCHED = '''
import json, sys
import paddle.distributed as dist
from paddlenlp.trainer import TrainerCallback
import train
import bridgetower.training.trainer
from bridgetower.distributed import rank
from bridgetower.runtime import die_with_launcher

die_with_launcher()
apart = {"between": [], "before": []}


class Watch(TrainerCallback):
    def difference(self, model):
        gradients = []
        dist.all_gather(gradients, dict(model.named_parameters())["classifier.fc1.weight"].grad)
        return float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max())

    def on_substep_end(self, args, state, control, model=None, **kwargs):
        apart["between"].append(self.difference(model))

    def on_optimizer_begin(self, args, state, control, model=None, **kwargs):
        apart["before"].append(self.difference(model))


class Watched(bridgetower.training.trainer.BridgeTowerTrainer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.add_callback(Watch())


bridgetower.training.trainer.BridgeTowerTrainer = Watched  # the run looks it up there
status = train.main(sys.argv[2:])
if rank() == 0:
    open(sys.argv[1], "w").write(json.dumps(apart))
sys.exit(status)
'''


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("--recompute",)], ids=["plain", "recompute"])
@pytest.mark.usefixtures("untuned")
def test_gradients_meet_once_an_update(warm_python: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    """Accumulation does not synchronise in between, and the update is that of the whole batch on one process."""
    config = write_experiment(write_miniature(tmp_path), "vqa", {"name": "vqa"}, max_steps=3, adam_epsilon=1e-3)
    common = ["--config_name", str(config), "--data_root", str(tmp_path / "data"), "--device", "cpu", "--do_train",
              "--batch_size", "12"]
    with unique_name.guard():
        assert train.main([*common, "--per_device_train_batch_size", "12", "--output_dir", str(tmp_path / "one")]) == 0
    (tmp_path / "watched.py").write_text(WATCHED)
    done = launch(warm_python, tmp_path / "log", tmp_path / "watched.py", tmp_path / "apart.json", *common, *more,
                  "--per_device_train_batch_size", 2, "--output_dir", tmp_path / "two")
    assert done.returncode == 0, rank_logs(tmp_path / "log")
    apart = json.loads((tmp_path / "apart.json").read_text())
    assert len(apart["between"]) == 3 * 2 and min(apart["between"]) > 1e-2  # three passes an update
    assert len(apart["before"]) == 3 and max(apart["before"]) < 1e-6
    expected, found = (paddle.load(str(tmp_path / name / "model_state.pdparams"), return_numpy=True)
                       for name in ("one", "two"))
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=2e-4, err_msg=name)
