"""What all tests share: a CPU, at most two threads, no network, the same examples of property tests in every run."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything imports Paddle or PyTorch, and inherited by the processes that tests start. The number of threads
# decides the order of float sums, so it is the same on every machine with two cores or more.
os.environ["OMP_NUM_THREADS"] = str(min(2, os.cpu_count() or 1))
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"

# No deadline: the first example pays for imports, and the machine may be busy.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


@pytest.fixture
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines run in this process leave its CPU settings alone; they are tested in test_runtime.py."""
    monkeypatch.setenv("BRIDGETOWER_TUNE_CPU", "0")


@pytest.fixture(params=["auto", "paddle"])
def both_kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test twice: with our kernels, and with Paddle's own operators as on a GPU."""
    monkeypatch.setenv("BRIDGETOWER_KERNELS", request.param)
    return request.param


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a miniature (tests/miniature.py) for the tests of a file."""
    from tests.miniature import write_miniature  # here, as the environment must be set first

    return write_miniature(tmp_path_factory.mktemp("miniature"))


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
