"""Padding of rows that were encoded before, as data collators ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .encoding import Encoding, as_list, framework_of
from .text_options import TextOptions

__all__ = ["join_rows", "pad_rows"]

#: What fills each input where the tokenizer does not say.
_FILL: Mapping[str, Any] = {"attention_mask": 0, "special_tokens_mask": 1, "offset_mapping": (0, 0)}


def join_rows(inputs: Any) -> dict[str, Any]:
    """Rows in one mapping of lists, from such a mapping or a list of mappings.

    Raises:
        ValueError: neither of them, or no `input_ids`.
    """
    if not isinstance(inputs, Mapping):
        if not inputs or not all(isinstance(each, Mapping) for each in inputs):
            raise ValueError("pad takes a mapping with input_ids, or a list of such mappings")
        inputs = {name: [each[name] for each in inputs] for name in inputs[0]}
    if "input_ids" not in inputs:
        raise ValueError(f"pad needs input_ids, got {', '.join(inputs) or 'nothing'}")
    return dict(inputs)


def pad_rows(
    data: dict[str, Any], options: TextOptions, fill: Mapping[str, Any], side: str, add_mask: bool
) -> Encoding:
    """Pad one row, or a list of rows, and make tensors.

    Args:
        data: inputs by name; those that do not come from a tokenizer are only made tensors of.
        options: `padding`, `max_length`, `pad_to_multiple_of` and `return_tensors` are read. Without the last one,
            arrays and tensors stay what they are.
        fill: what pads `input_ids` and `token_type_ids`.
        side: "right" or "left".
        add_mask: add an `attention_mask` where there is none.
    """
    filling, kind = {**_FILL, **fill}, options.return_tensors
    if kind is None and len(data["input_ids"]):
        kind = {"paddle": "pd", "torch": "pt", "numpy": "np"}.get(framework_of(data["input_ids"][0]))
    data = {name: as_list(value) if name in filling else value for name, value in data.items()}
    is_one = bool(data["input_ids"]) and not isinstance(data["input_ids"][0], list | tuple)
    rows = [data["input_ids"]] if is_one else data["input_ids"]
    if add_mask and "attention_mask" not in data:
        mask = [[1] * len(row) for row in rows]
        data["attention_mask"] = mask[0] if is_one else mask
    if options.padding != "do_not_pad" and rows:
        width = options.width(max(map(len, rows)))
        for name in filling.keys() & data.keys():
            values = [data[name]] if is_one else data[name]
            padded = [_filled(list(row), width, filling[name], side) for row in values]
            data[name] = padded[0] if is_one else padded
    return Encoding(data, tensor_type=kind)


def _filled(row: list[Any], width: int, value: Any, side: str) -> list[Any]:
    missing = [value] * (width - len(row))
    return missing + row if side == "left" else row + missing
