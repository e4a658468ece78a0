"""Compare the outputs of the converted model with those of the PyTorch model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..conversion import CheckpointError, Options, read_checkpoint, with_settings
from .converted_model import paddle_outputs
from .reference import Arrays, Reference, build_reference

ROWS, LENGTH, PADDING, SEED = 2, 12, 4, 0


def verify(source: Path, converted: Path, options: Options) -> dict[str, float]:
    """The largest differences between the outputs of both models on the same random texts and images.

    Args:
        source: the PyTorch checkpoint.
        converted: the folder or weight file that was written from it.
        options: the options of the conversion.

    Returns:
        The largest absolute difference by the name of an output.

    Raises:
        CheckpointError: torch or transformers is not installed, or transformers has no such model.
    """
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise CheckpointError(f"--verify needs torch and transformers, which are not installed ({error})") from error
    reference = build_reference(with_settings(read_checkpoint(source), options), options.image_size)
    inputs = random_inputs(reference)
    expected = reference.outputs(inputs)
    actual = paddle_outputs(converted, inputs, expected)
    return {name: float(np.abs(actual[name] - array).max()) for name, array in expected.items()}


def random_inputs(reference: Reference) -> Arrays:
    """Random images and texts of the sizes that the PyTorch model takes, the last text padded."""
    draw = np.random.default_rng(SEED)
    inputs: Arrays = {}
    if reference.text is not None:
        length = min(LENGTH, reference.text.longest)
        ids = draw.integers(0, reference.text.vocab_size, (ROWS, length))
        mask = np.ones_like(ids)
        padding = min(PADDING, length - 1)
        ids[-1, length - padding :], mask[-1, length - padding :] = reference.text.pad_token_id, 0
        inputs |= {"input_ids": ids, "attention_mask": mask}
    if reference.image is not None:
        inputs["pixel_values"] = draw.standard_normal((ROWS, *reference.image)).astype(np.float32)
    return inputs
