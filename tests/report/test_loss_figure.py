"""The loss curves are drawn from whatever was logged."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bridgetower.report import Curve, loss_figure, plot_loss_curves

LOSS = Curve(list(range(10, 510, 10)), [5 / step for step in range(10, 510, 10)])
POINT = Curve([10], [0.5])


@pytest.mark.parametrize(
    "runs",
    [
        {"Pre-training": {"loss": LOSS, "mlm_loss": LOSS, "eval_itm_accuracy": POINT}, "VQA": {"loss": POINT}},
        {"one run": {"loss": LOSS}},
        {"no loss": {"eval_vqa_score": POINT}},
        {"neither": {"learning_rate": LOSS}},
        {"retrieval": {"eval_r_mean": Curve([10, 20], [40.0, 60.0]), "eval_ir_mean": POINT}},
        {"classes": {"eval_classify_macro_f1": POINT, "eval_classify_auc": POINT}},
        {"many": {f"part{number}_loss": LOSS for number in range(20)}},
    ],
    ids=lambda runs: next(iter(runs)),
)
def test_any_log_makes_a_picture(tmp_path: Path, runs: dict[str, dict[str, Curve]]) -> None:
    path = tmp_path / "new" / "loss_curves.png"
    plot_loss_curves(runs, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width == 720 * len(runs)
        # Something is drawn besides the white ground.
        assert len(image.convert("L").getcolors() or ()) > 20
    assert [file.name for file in path.parent.iterdir()] == ["loss_curves.png"]


@pytest.mark.parametrize(("values", "bottom"), [([-0.5, 0.2], -0.515), ([0.1, 0.2], 0.0)])
def test_negative_correlations_are_in_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[float], bottom: float
) -> None:
    figures: list[Any] = []
    monkeypatch.setattr(loss_figure, "save_figure", lambda figure, path: figures.append(figure))
    plot_loss_curves({"stsb": {"eval_pearson": Curve([10, 20], values)}}, tmp_path / "loss_curves.png")
    assert figures[0].axes[1].get_ylim() == pytest.approx((bottom, 1.03))
