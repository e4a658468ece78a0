"""Apply the table of rules: from the names of a checkpoint to the Paddle names, and back."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from ...model_parts import BASE_PREFIX, is_head
from ..errors import CheckpointError
from .rules import DISTILLATION_TOKEN, SOURCE_PREFIXES, Kind, Rule, rules


@dataclass
class RuleReport:
    """What a mapping left out: `dropped` gives the reason for each source name."""

    dropped: dict[str, str] = field(default_factory=dict)


def _pattern(template: str) -> re.Pattern[str]:
    escaped = re.escape(template).replace(r"\{i\}", r"(?P<i>0|[1-9]\d{0,3})").replace(r"\{rest\}", r"[\w.]+")
    return re.compile(escaped)


@cache
def _forward_patterns(layout: str) -> tuple[tuple[re.Pattern[str], Rule], ...]:
    return tuple((_pattern(rule.source), rule) for rule in rules(layout))


def _fill(template: str, match: re.Match[str]) -> str:
    return template.format(i=match.group("i")) if "{i}" in template else template


def source_stem(name: str, layout: str) -> str:
    """`name` as the rules spell it: no prefix of an enclosing class, TensorFlow's old LayerNorm names replaced."""
    for prefix in SOURCE_PREFIXES.get(layout, ()):
        if name.startswith(prefix):
            name = name[len(prefix) :]
            break
    if layout == "huggingface_bert":
        name = re.sub(r"\bLayerNorm\.gamma$", "LayerNorm.weight", name)
        name = re.sub(r"\bLayerNorm\.beta$", "LayerNorm.bias", name)
    return name


def find_rule(name: str, layout: str, names: Container[str]) -> tuple[Rule, tuple[str, ...]] | None:
    """The rule for a source name, and its Paddle names (without `bridgetower.`); None if there is no rule.

    Args:
        name: of the tensor.
        layout: of the checkpoint.
        names: all names of the checkpoint.
    """
    stem = source_stem(name, layout)
    for pattern, rule in _forward_patterns(layout):
        match = pattern.fullmatch(stem)
        if match and not any(other in names for other in rule.without):
            return rule, tuple(_fill(ours, match) for ours in rule.ours)
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Applying the rules


def _apply(rule: Rule, name: str, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
    """Views of `tensor` in Paddle's arrangement: nothing is copied."""
    if rule.kind in (Kind.SPLIT, Kind.SPLIT_TRANSPOSE):
        rank = 1 if rule.kind is Kind.SPLIT else 2
        if tensor.ndim != rank or tensor.shape[0] % 3:
            raise CheckpointError(f"{name}: shape {tensor.shape} cannot be split into query, key and value")
        width = tensor.shape[0] // 3
        parts = tuple(tensor[start : start + width] for start in (0, width, 2 * width))
        return tuple(part.T for part in parts) if rank == 2 else parts
    if rule.kind is Kind.TRANSPOSE:
        if tensor.ndim != 2:
            raise CheckpointError(f"{name}: shape {tensor.shape}, but a linear weight has two axes (out, in)")
        return (tensor.T,)
    if rule.kind is Kind.SCALAR:
        return (tensor.reshape(1) if tensor.ndim == 0 else tensor,)
    if rule.kind is Kind.SQUEEZE:
        keep = 1 if rule.ours[0].endswith("class_embedding") else 2
        lead = tensor.ndim - keep
        if lead < 0 or tensor.shape[:lead] != (1,) * lead:
            raise CheckpointError(f"{name}: shape {tensor.shape}, expected {keep} axes after leading ones")
        return (tensor.reshape(tensor.shape[lead:]),)
    return (tensor,)


def to_paddle(
    tensors: Mapping[str, np.ndarray], layout: str, prefix: str | None = None
) -> tuple[dict[str, np.ndarray], RuleReport]:
    """Map a checkpoint to the Paddle names and arrangement.

    Args:
        tensors: arrays by source name. Results are views of these arrays.
        layout: one of `LAYOUTS`; `paddle` only moves the prefix.
        prefix: of the base model's names; None: `bridgetower.` if there is any head, else nothing.

    Returns:
        Arrays by Paddle name, and what was dropped.

    Raises:
        CheckpointError: a source name has no rule, two source names mean the same tensor, or a shape does not fit.
    """
    report = RuleReport()
    base: dict[str, np.ndarray] = {}
    heads: dict[str, np.ndarray] = {}
    for name, is_of_head, array in _mapped(tensors, layout, report):
        target = heads if is_of_head else base
        if name in base or name in heads:
            raise CheckpointError(f"two tensors of the checkpoint map to {name}; the file does not hold a single model")
        target[name] = array
    if any(name.endswith(DISTILLATION_TOKEN) for name in report.dropped):
        table = base["image_tower.position_embedding"]
        base["image_tower.position_embedding"] = np.concatenate([table[:1], table[2:]])
    if "temperature" in heads and "itc_text_head.weight" not in heads:
        del heads["temperature"]
        report.dropped["temperature"] = "no contrastive head in this checkpoint reads it"
    if prefix is None:
        prefix = BASE_PREFIX if heads else ""
    return {**{prefix + name: array for name, array in base.items()}, **heads}, report


def _mapped(
    tensors: Mapping[str, np.ndarray], layout: str, report: RuleReport
) -> Iterator[tuple[str, bool, np.ndarray]]:
    """(Paddle name without prefix, whether it is a head, array) of each tensor kept; `report` gets the others."""
    unknown = []
    for name in tensors:
        if layout == "paddle":
            stem = name.removeprefix(BASE_PREFIX)
            yield stem, is_head(stem), tensors[name]
            continue
        found = find_rule(name, layout, tensors)
        if found is None:
            unknown.append(name)
            continue
        rule, names = found
        if rule.kind is Kind.DROP:
            report.dropped[name] = rule.reason
            continue
        for ours, array in zip(names, _apply(rule, name, tensors[name]), strict=True):
            yield ours, rule.head, array
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        raise CheckpointError(f"no rule for {', '.join(unknown[:3])}{more} ({layout} layout); is it another model?")


def _join(rule: Rule, parts: list[np.ndarray]) -> np.ndarray:
    """The inverse of `_apply`; a fused tensor is a copy, the rest are views."""
    if rule.kind is Kind.SPLIT:
        return np.concatenate(parts)
    if rule.kind is Kind.SPLIT_TRANSPOSE:
        return np.concatenate([part.T for part in parts])
    if rule.kind is Kind.SCALAR:
        return parts[0].reshape(())
    return parts[0].T if rule.kind is Kind.TRANSPOSE else parts[0]


@cache
def _backward_patterns(layout: str, task: str, scale: str) -> tuple[tuple[re.Pattern[str], Rule], ...]:
    """Rules by the pattern of their first Paddle name; `task` and `scale` choose between rules that share it."""
    keep = []
    for rule in rules(layout):
        if rule.kind is Kind.DROP:
            continue
        other_task = rule.ours[0].startswith("classifier.") and not rule.source.startswith(f"{task}_")
        other_scale = rule.ours[0].endswith(".scale") and not rule.source.endswith(scale)
        if not (other_task or other_scale):
            keep.append((_pattern(rule.ours[0]), rule))
    return tuple(keep)


def from_paddle(
    tensors: Mapping[str, np.ndarray],
    layout: str,
    prefix: str = "",
    task: str = "",
    link_tower_type: str = "scaled_add",
) -> tuple[dict[str, np.ndarray], RuleReport]:
    """Map Paddle names back to a layout; `to_paddle` of the result gives the same bytes.

    Args:
        tensors: arrays by Paddle name, with or without `bridgetower.`.
        layout: `original`, `huggingface` or a tower layout.
        prefix: of the base model's names (`bridgetower.` in the port's classes with a head).
        task: the task of the classifier: `vqa`, `snli` or `nlvr2`; needed for a model with a classifier.
        link_tower_type: which bridges have a `scale`: `scaled_add` or `interpolate`.

    Raises:
        CheckpointError: a name has no counterpart in the layout, or a part of a fused tensor is missing.
    """
    scale = "beta" if link_tower_type == "interpolate" else "scaled_factor"
    stems = {name.removeprefix(BASE_PREFIX): tensors[name] for name in tensors}
    result: dict[str, np.ndarray] = {}
    used: set[str] = set()
    for stem in stems:
        for pattern, rule in _backward_patterns(layout, task, scale):
            match = pattern.fullmatch(stem)
            if match is None or any(other in stems for other in rule.without):
                continue
            names = [_fill(ours, match) for ours in rule.ours]
            missing = [name for name in names if name not in stems]
            if missing:
                whole = _fill(rule.source, match)
                raise CheckpointError(f"{missing[0]} is missing; {whole} of the {layout} layout needs it")
            used.update(names)
            key = _fill(rule.source, match)
            result[key if rule.head else prefix + key] = _join(rule, [stems[name] for name in names])
            break
    unknown = [stem for stem in stems if stem not in used]
    if unknown:
        hint = "; say which task the classifier belongs to" if unknown[0].startswith("classifier.") and not task else ""
        raise CheckpointError(f"{unknown[0]} has no counterpart in the {layout} layout{hint}")
    return result, RuleReport()


def _fingerprints() -> list[tuple[str, re.Pattern[str]]]:
    """For each layout the pattern of a name that only it has, most specific first."""
    return [
        ("paddle", re.compile(r"(bridgetower\.)?(text_tower|image_tower)\..+")),
        ("original", re.compile(r"(text_transformer|vit_model)\..+")),
        ("huggingface", re.compile(r"(bridgetower\.)?(vision_model\.visual\..+|cross_modal_text_transform\.weight)")),
        ("openai_clip", re.compile(r"visual\.conv1\.weight")),
        ("huggingface_clip", re.compile(r"vision_model\.embeddings\.patch_embedding\.weight")),
        ("huggingface_vit", re.compile(r"((vit|deit)\.)?embeddings\.patch_embeddings\.projection\.weight")),
        ("huggingface_bert", re.compile(r"((roberta|bert)\.)?embeddings\.word_embeddings\.weight")),
    ]


def detect_layout(names: Mapping[str, object] | list[str]) -> str:
    """The layout that a set of tensor names belongs to.

    Raises:
        CheckpointError: it is none of the known ones.
    """
    for layout, pattern in _fingerprints():
        if any(pattern.fullmatch(name) for name in names):
            return layout
    sample = ", ".join(list(names)[:3]) or "none"
    raise CheckpointError(f"not a BridgeTower, METER, CLIP, ViT, RoBERTa or BERT checkpoint (tensors: {sample}, ...)")
