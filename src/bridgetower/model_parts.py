"""The parts of a model by the names of their parameters: which are towers, cross-modal layers and heads."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

__all__ = ["BASE_PREFIX", "PARTS", "Part", "is_head", "part_of", "patterns"]

#: Put before the names of the bare model inside a model with a head.
BASE_PREFIX = "bridgetower."


@dataclass(frozen=True)
class Part:
    """Parameters that belong together.

    Attributes:
        pattern: of their names, without `BASE_PREFIX`.
        kind: what they are part of.
        rate: which of the original's three learning rates they have (original: src/modules/meter_utils.py,
            set_schedule). Its lists of names leave out some parts, which so learn at the rate of the towers.
    """

    pattern: str
    kind: Literal["tower", "cross_modal", "head"]
    rate: Literal["base", "cross_modal", "head"]


PARTS = (
    Part("text_tower.*", "tower", "base"),
    Part("image_tower.*", "tower", "base"),
    Part("text_projection.*", "cross_modal", "cross_modal"),
    Part("image_projection.*", "cross_modal", "cross_modal"),
    Part("token_type_embeddings.*", "cross_modal", "base"),
    Part("text_gate.*", "cross_modal", "base"),
    Part("image_gate.*", "cross_modal", "base"),
    Part("text_input_norm.*", "cross_modal", "cross_modal"),
    Part("image_input_norm.*", "cross_modal", "cross_modal"),
    Part("text_bridges.*", "cross_modal", "cross_modal"),
    Part("image_bridges.*", "cross_modal", "cross_modal"),
    Part("cross_modal_*", "cross_modal", "cross_modal"),
    Part("text_pooler.*", "cross_modal", "cross_modal"),
    Part("image_pooler.*", "cross_modal", "cross_modal"),
    Part("mlm_head.*", "head", "head"),
    Part("itm_head.*", "head", "head"),
    Part("itc_*_head.*", "head", "head"),
    Part("classifier.*", "head", "head"),
    Part("rank_head.*", "head", "base"),
    Part("temperature", "head", "base"),
    Part("logit_scale", "head", "base"),
)


def patterns(*kinds: str) -> tuple[str, ...]:
    """Patterns of the names of all parts of these kinds."""
    return tuple(part.pattern for part in PARTS if part.kind in kinds)


def part_of(name: str) -> Part | None:
    """The part that a parameter belongs to, with or without `BASE_PREFIX`; None for a name of no model."""
    bare = name.removeprefix(BASE_PREFIX)
    return next((part for part in PARTS if fnmatchcase(bare, part.pattern)), None)


def is_head(name: str) -> bool:
    """Whether a parameter belongs to a head, beside the bare model."""
    part = part_of(name)
    return part is not None and part.kind == "head"
