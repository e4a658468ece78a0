"""ITC, hard negatives and retrieval over two processes against one process with all rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.two_ranks import ROOT, launch, rank_logs


def compute(python: Path, folder: Path, processes: int) -> dict[str, Any]:
    """The results of all cases, computed by so many processes."""
    output = folder / f"{processes}.json"
    done = launch(python, folder / "log", ROOT / "tests/modules/two_processes.py", output, processes=processes)
    assert done.returncode == 0, rank_logs(folder / "log") + done.stderr
    result = json.loads(output.read_text())
    assert result["processes"] == processes
    return result


@pytest.fixture(scope="module")
def results(warm_python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of one process and of two."""
    folder = tmp_path_factory.mktemp("processes")
    return compute(warm_python, folder, 1), compute(warm_python, folder, 2)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pretrain", "retrieval"])
def test_global_negatives_do_not_depend_on_the_number_of_processes(results: tuple[dict[str, Any], ...], model: str
                                                                   ) -> None:
    """Losses and averaged gradients are those of one process, although each pads its texts to another length."""
    one, two = (result[f"{model}, global"] for result in results)
    assert two["losses"] == pytest.approx(one["losses"], abs=2e-5)
    largest = max(one["gradients"].values())
    for name, norm in one["gradients"].items():
        assert two["gradients"][name] == pytest.approx(norm, rel=1e-3, abs=1e-5 * largest), name


@pytest.mark.slow
def test_local_negatives_come_from_the_own_rows(results: tuple[dict[str, Any], ...]) -> None:
    """ITC is the same over any number of processes; the matching loss is not, since there are fewer to choose from."""
    one, two = (result["pretrain, local"] for result in results)
    assert two["losses"][0] == pytest.approx(one["losses"][0], abs=2e-5)
    assert abs(two["losses"][1] - one["losses"][1]) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("candidates", ["4", "all"])
def test_retrieval_does_not_depend_on_the_number_of_processes(results: tuple[dict[str, Any], ...], candidates: str
                                                              ) -> None:
    """An image that both processes bring counts once."""
    one, two = (result[f"gallery, {candidates}"] for result in results)
    assert two["recalls"] == one["recalls"]
    np.testing.assert_allclose(two["scores"], one["scores"], atol=1e-5)
