"""Token ids that are known already: cut, framed and counted as the port does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .text_options import TextOptions

if TYPE_CHECKING:
    from .tokenizer_methods import TokenizerMethods

__all__ = ["cut_ids", "prepared_row"]


def prepared_row(tokenizer: TokenizerMethods, ids: Sequence[int], pair_ids: Sequence[int] | None,
                 options: TextOptions) -> dict[str, Any]:
    """One row, not padded, see `BridgeTowerTokenizer.prepare_for_model`.

    Args:
        tokenizer: frames the ids.
        ids, pair_ids: (L,) of the text, and of the second one.
        options: what `TextOptions.of` returns.
    """
    special = tokenizer.num_special_tokens_to_add(pair_ids is not None) if options.add_special_tokens else 0
    total = len(ids) + len(pair_ids or ()) + special
    excess = total - (options.max_length or total)
    first, second, cut_off = cut_ids(ids, pair_ids, excess, str(options.truncation), options.stride,
                                     options.truncation_side or tokenizer.truncation_side)
    row: dict[str, Any] = {}
    if options.return_overflowing_tokens:
        row |= {"overflowing_tokens": cut_off, "num_truncated_tokens": excess}
    if options.add_special_tokens:
        row["input_ids"] = tokenizer.build_inputs_with_special_tokens(first, second)
        types = tokenizer.create_token_type_ids_from_sequences(first, second)
        mask = tokenizer.get_special_tokens_mask(first, second)
    else:
        row["input_ids"] = [*first, *(second or ())]
        types = mask = [0] * len(row["input_ids"])
    wants_types = options.return_token_type_ids
    if "token_type_ids" in tokenizer.model_input_names if wants_types is None else wants_types:
        row["token_type_ids"] = types
    if options.return_special_tokens_mask:
        row["special_tokens_mask"] = mask
    return row


def cut_ids(ids: Sequence[int], pair_ids: Sequence[int] | None, excess: int, strategy: str, stride: int, side: str
            ) -> tuple[list[int], list[int] | None, list[int]]:
    """Take `excess` ids away, from the end or from the start.

    Args:
        ids, pair_ids: (L,) of the text, and of the second one.
        excess: how many; none below one.
        strategy, stride: see `truncation` and `stride` of `TextOptions`.
        side: "left" or "right".

    Returns:
        What is left of both, and what was cut off with `stride` ids before it; nothing where both texts are cut.

    Raises:
        ValueError: the text to cut is not longer than that.
    """
    first, second = list(ids), None if pair_ids is None else list(pair_ids)
    if excess <= 0 or strategy == "do_not_truncate":
        return first, second, []
    if strategy == "longest_first" and second is not None:
        from_first = _share_of_first(len(first), len(second), excess)
        return _kept(first, from_first, side), _kept(second, excess - from_first, side), []
    cut_second = strategy == "only_second" and second is not None
    text = second if cut_second and second is not None else first
    if len(text) <= excess:
        raise ValueError(f"truncation={strategy!r} cannot take {excess} tokens from a text of {len(text)}; use another "
                         "strategy or a larger max_length")
    window = min(len(text), stride + excess)
    cut_off = text[:window] if side == "left" else text[-window:]
    kept = _kept(text, excess, side)
    return (first, kept, cut_off) if cut_second else (kept, second, cut_off)


def _share_of_first(first: int, second: int, excess: int) -> int:
    """How much of `excess` the first text of a pair loses: the longer one is cut first, then both alike."""
    longer = min(abs(first - second), excess)
    return (longer if first > second else 0) + (excess - longer) // 2


def _kept(values: list[int], removed: int, side: str) -> list[int]:
    return values[removed:] if side == "left" else values[:max(0, len(values) - removed)]
