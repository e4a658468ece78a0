"""What all tests share: a CPU, one thread, no network, the same examples of property tests in every run."""

import gc
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from bridgetower.runtime import cpu_environment

if TYPE_CHECKING:
    from tests.host_reads import HostReads

# Before anything imports Paddle or PyTorch, and inherited by the processes that tests start. The number of threads
# decides the order of float sums, so it is the same on every machine. With more than one, those of a worker of pytest
# spin while they wait for each other, and keep the other workers from computing: tests took twice the time.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["KMP_BLOCKTIME"] = "0"  # where a test asks for more, they sleep at once
if os.environ.get("BRIDGETOWER_TEST_DEVICE", "cpu") == "cpu":  # scripts/gpu_check.sh runs some tests on a GPU
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.update({**cpu_environment(), **os.environ})  # as the commands do: tests of training take a quarter less
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"

# No deadline: the first example pays for imports, and the machine may be busy.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No workers where single files or tests are named, which start sooner in this process; else one per core."""
    return 0 if all(".py" in argument for argument in config.args) else None


gc.disable()  # the imports of a whole suite make no garbage to speak of, and looking for it took a second and a half


def pytest_collection_finish() -> None:
    """Leave what the imports made out of garbage collection, which Paddle starts for each frame that it translates."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # with Python's own thresholds each worker took two seconds more
    gc.enable()


def pytest_sessionfinish() -> None:
    """The same for what the tests have left: pytest collects ten times before it ends, which took four seconds."""
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def frozen_heap() -> None:
    """The same for what the tests of other files have left: tracing took fifty seconds instead of four."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines run in this process leave its CPU settings alone; they are tested in test_runtime.py."""
    monkeypatch.setenv("BRIDGETOWER_TUNE_CPU", "0")


@pytest.fixture(params=["ours", "paddle"])
def both_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test twice: with our kernels, and with Paddle's own operators and strided views as on a GPU."""
    import paddle

    monkeypatch.setenv("BRIDGETOWER_KERNELS", request.param)
    strides = paddle.get_flags("FLAGS_use_stride_kernel")
    paddle.set_flags({"FLAGS_use_stride_kernel": request.param == "paddle"})
    yield request.param
    paddle.set_flags(strides)


@pytest.fixture
def host_reads(monkeypatch: pytest.MonkeyPatch) -> "HostReads":
    """Counts where the training runs of a test read values of tensors (tests/host_reads.py)."""
    from tests.host_reads import HostReads

    return HostReads(monkeypatch)


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a miniature (tests/miniature.py) for all tests, which add experiment files but change no data."""
    from tests.miniature import write_miniature  # here, as the environment must be set first

    return write_miniature(tmp_path_factory.mktemp("miniature"))


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An interpreter that need not import Paddle (tests/warm_python.py), for programs whose start is not the point."""
    from tests.warm_python import warm_interpreter

    with warm_interpreter(tmp_path_factory.mktemp("warm")) as executable:
        yield executable


@pytest.fixture(scope="session")
def original_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Lightning checkpoint of the original with MLM, ITM and ITC heads."""
    import torch

    from tests.conversion.checkpoints import lightning

    path = tmp_path_factory.mktemp("original") / "model.ckpt"
    torch.save(lightning("pretrain_roberta"), path)
    return path


@pytest.fixture(scope="session")
def port_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of the MLM class with its own decoder."""
    from tests.conversion.checkpoints import write_port_folder

    return write_port_folder(tmp_path_factory.mktemp("port") / "bridgetower-mlm")


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model by its short name in `tests.saved_models`; each is made when it is first asked for."""
    from tests.saved_models import save_model

    folder = tmp_path_factory.mktemp("models")
    return cache(lambda name: save_model(name, folder / name))


@pytest.fixture(scope="session")
def exported(saved: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The exported folder of such a model."""
    folder = tmp_path_factory.mktemp("static")

    @cache
    def export(name: str) -> Path:
        from bridgetower.export import export_checkpoint

        export_checkpoint(saved(name), folder / name)
        return folder / name

    return export


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Seven pictures of different sizes in one folder."""
    from tests.saved_models import write_pictures

    return write_pictures(tmp_path_factory.mktemp("pictures"), 7)
