"""Makes the patches of a three-channel image tower read one channel, with equal results on grey pictures."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from .model_parts import BASE_PREFIX

__all__ = ["CLIP_MEAN", "CLIP_STD", "PATCH_KERNELS", "MeanAndStd", "fold_channels"]

logger = logging.getLogger(__name__)

#: Red, green and blue of CLIP's pictures, in units of value / 255.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
MeanAndStd = tuple[Sequence[float], Sequence[float]]

PATCH_KERNELS, _BIAS = "image_tower.patch_embedding.weight", "image_tower.patch_embedding.bias"
_POSITIONS = "image_tower.position_embedding"


def fold_channels(tensors: Mapping[str, np.ndarray], normalization: MeanAndStd = (CLIP_MEAN, CLIP_STD)
                  ) -> dict[str, np.ndarray]:
    """Sum the kernels of the patches over red, green and blue, with the normalisation of the pictures folded in.

    A patch of a grey picture with values v from 0 to 1 gives sum_c K_c * (v - mean_c) / std_c. That is one kernel
    sum_c K_c / std_c on v itself, and a constant, which joins the bias of the patches or, where they have none, the
    positions of all patches.

    Args:
        tensors: weights by our names, with or without the `bridgetower.` prefix.
        normalization: mean and standard deviation of the channels that the weights were trained with.

    Returns:
        The weights, of which the kernels are (W, 1, p, p); kernels that do not have three channels stay.
    """
    names = {name.removeprefix(BASE_PREFIX): name for name in tensors}
    folded = dict(tensors)
    if PATCH_KERNELS not in names or np.shape(tensors[names[PATCH_KERNELS]])[1] != 3:
        return folded
    kernels = np.asarray(tensors[names[PATCH_KERNELS]], np.float64)
    mean, std = (np.asarray(values, np.float64).reshape(1, 3, 1, 1) for values in normalization)
    constant = -(kernels * (mean / std)).sum(axis=(1, 2, 3))
    folded[names[PATCH_KERNELS]] = (kernels / std).sum(axis=1, keepdims=True).astype(np.float32)
    if _BIAS in names:
        folded[names[_BIAS]] = (tensors[names[_BIAS]] + constant).astype(np.float32)
    elif _POSITIONS in names:
        positions = np.array(tensors[names[_POSITIONS]], np.float64)
        positions[..., 1:, :] += constant  # not of the class token
        folded[names[_POSITIONS]] = positions.astype(np.float32)
    logger.info("the patches read one channel: the kernels of red, green and blue are added up")
    return folded
