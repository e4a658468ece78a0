"""Evaluation as a whole: an image passes its tower once for all questions about it, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from paddle.utils import unique_name

import train
from bridgetower.modules.clip_model import ImageTower
from bridgetower.tasks import TASKS
from tests.miniature import NUM_TEST, write_experiment

QUESTIONS_PER_IMAGE = 3
pytestmark = pytest.mark.usefixtures("untuned")


def evaluate(mini: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, dict[str, float]]:
    """Images that passed the tower in an evaluation, in batches that hold one and a third image; its metrics."""
    plain, passed = ImageTower.forward, []

    def counted(self: ImageTower, pixel_values, *others):  # type: ignore[no-untyped-def]
        if not self.training:
            passed.append(pixel_values.shape[0])
        return plain(self, pixel_values, *others)

    config = write_experiment(mini, output.name, {"name": "vqa"}, max_steps=1, eval_steps=9,
                              per_device_eval_batch_size=4)
    with monkeypatch.context() as patch, unique_name.guard():
        patch.setattr(ImageTower, "forward", counted)
        assert train.main(["--config_name", str(config), "--output_dir", str(output), "--data_root",
                           str(mini / "data"), "--do_train", "--do_eval"]) == 0
    return sum(passed), json.loads((output / "eval_results.json").read_text())


def test_an_image_passes_its_tower_once_for_its_questions(mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                          ) -> None:
    passed, shared = evaluate(mini, tmp_path / "shared", monkeypatch)
    assert passed == NUM_TEST
    monkeypatch.setattr(TASKS["vqa"], "shares_images", False)
    passed, apart = evaluate(mini, tmp_path / "apart", monkeypatch)
    assert passed == NUM_TEST * QUESTIONS_PER_IMAGE
    assert shared["eval_vqa_loss"] == pytest.approx(apart["eval_vqa_loss"], rel=1e-5)
    assert shared["eval_vqa_score"] == apart["eval_vqa_score"]
