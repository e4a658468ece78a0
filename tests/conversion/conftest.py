"""Checkpoint files that several test modules read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .checkpoints import lightning, write_port_folder


@pytest.fixture(scope="session")
def original_ckpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Lightning checkpoint of the original with MLM, ITM and ITC heads."""
    import torch

    path = tmp_path_factory.mktemp("original") / "model.ckpt"
    torch.save(lightning("pretrain_roberta"), path)
    return path


@pytest.fixture(scope="session")
def port_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of the MLM class with its own decoder."""
    return write_port_folder(tmp_path_factory.mktemp("port") / "bridgetower-mlm")
