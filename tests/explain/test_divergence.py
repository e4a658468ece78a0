"""Divergence between attention heads: by hand, over a model, and drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from bridgetower.explain import head_divergence, plot_head_divergence
from bridgetower.explain.divergence import KINDS, HeadDivergence, pairwise_divergence
from bridgetower.pipelines.engine import open_engines

Folders = Callable[[str], Path]


def test_two_heads_by_hand() -> None:
    heads = np.array([[[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [1.0, 0.0]]]])  # (1, 2, 2, 2)
    one = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    other = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    np.testing.assert_allclose(pairwise_divergence(heads, np.array([[1, 0]])), [[one, other]])
    np.testing.assert_allclose(pairwise_divergence(heads, np.array([[1, 1]])), [[one / 2, other / 2]])


def test_against_the_definition() -> None:
    draw = np.random.default_rng(0)
    weights = draw.dirichlet(np.ones(5), (2, 3, 4))
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]])
    found = pairwise_divergence(weights, mask)
    for row in range(2):
        for head in range(3):
            own, others = weights[row, head], [weights[row, each] for each in range(3) if each != head]
            each = [(own * np.log(own / other)).sum(-1)[mask[row] == 1].mean() for other in others]
            assert found[row, head] == pytest.approx(np.mean(each))
    assert pairwise_divergence(np.repeat(weights[:, :1], 3, axis=1), mask).max() == pytest.approx(0, abs=1e-12)


def test_batches_and_padding_do_not_matter(saved: Folders, pictures: list[Path], tmp_path: Path) -> None:
    opened = next(iter(open_engines(saved("vqa")).values()))
    texts = ["is it red?", "a", "what is this square, and is it a blue one?", "is it?"]
    pairs = [(str(path), text) for path, text in zip(pictures, texts, strict=False)]
    together, alone = (head_divergence(opened, pairs, "model", size) for size in (3, 1))
    assert together.pairs == 4 and set(together.heads) == set(KINDS)
    for kind, values in together.heads.items():
        assert values.shape == (2, 2) and (values > 0).all()
        np.testing.assert_allclose(values, alone.heads[kind], rtol=1e-4)
        np.testing.assert_allclose(together.layers[kind], values.mean(1))
    plot_head_divergence([together, alone], tmp_path / "heads.png")
    assert Image.open(tmp_path / "heads.png").format == "PNG"
    assert together.to_json()["layers"].keys() == KINDS.keys()


def test_the_figure_shows_every_column_whole(tmp_path: Path) -> None:
    """The panels of a row share their scale, whichever column has the larger numbers."""
    small, large = (HeadDivergence("model", 1, {kind: np.full((2, 2), size) for kind in KINDS}) for size in (0.1, 9))
    inked = []
    for models in ([small, large], [large, small]):
        plot_head_divergence(models, tmp_path / "heads.png")
        pixels = np.asarray(Image.open(tmp_path / "heads.png").convert("RGB")).astype(int)
        inked.append((np.abs(np.diff(pixels)).max(2) > 100).sum())  # what has a colour: lines and dots
    assert inked[0] == pytest.approx(inked[1], rel=0.1)


def test_nothing_to_compare(saved: Folders) -> None:
    opened = next(iter(open_engines(saved("vqa")).values()))
    with pytest.raises(ValueError, match="no pairs"):
        head_divergence(opened, [], "model")
    tower = next(iter(open_engines(saved("cifar")).values()))
    with pytest.raises(ValueError, match="no cross-modal layers"):
        head_divergence(tower, [], "model")
    with pytest.raises(ValueError, match="is an export"):
        head_divergence(SimpleNamespace(source="static", model=None), [], "model")  # type: ignore[arg-type]
