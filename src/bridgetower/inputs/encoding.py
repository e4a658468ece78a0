"""The mapping that tokenizer and processors return, with the interface of `BatchEncoding` and `BatchFeature`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Encoding as RowEncoding

__all__ = ["Encoding", "Span", "as_list", "framework_of", "plain"]

TENSOR_TYPES = ("np", "pd", "pt")


class Span(NamedTuple):
    """A half-open range of characters or tokens."""

    start: int
    end: int


class Encoding(dict[str, Any]):
    """Model inputs by name; the names are attributes too, and `model(**encoding)` works.

    A plain dictionary underneath, so that data collators of any library take it.

    Attributes:
        encodings: one `tokenizers.Encoding` per row of text, or None for pictures alone.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encodings: Sequence[RowEncoding] | None = None,
        tensor_type: str | None = None,
    ) -> None:
        super().__init__(data or {})
        self.encodings = encodings
        self.convert_to_tensors(tensor_type)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it holds {', '.join(self) or 'nothing'}") from None

    def __getitem__(self, key: Any) -> Any:
        """The input of that name; by a number the encoded row of text, by a slice the same rows of every input."""
        if isinstance(key, str):
            return super().__getitem__(key)
        if self.encodings is not None:
            return self.encodings[key]
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.items()}
        raise KeyError(f"{key!r} is no name of an input; rows are numbered only where texts were encoded")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self.encodings)

    @property
    def data(self) -> dict[str, Any]:
        """The mapping itself."""
        return self

    @property
    def is_fast(self) -> bool:
        """Whether rows of text can be looked into (`tokens`, `word_ids`, ...)."""
        return self.encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """Number of texts per row: 1, or 2 for pairs; None without texts."""
        return self.encodings[0].n_sequences if self.encodings else None

    def copy(self) -> Encoding:
        """A shallow copy."""
        return Encoding(self, self.encodings)

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Encoding:
        """Turn every input into an array ("np"), a Paddle tensor ("pd") or a PyTorch tensor ("pt"), in place.

        Args:
            tensor_type: None changes nothing.
            prepend_batch_axis: whether the inputs are those of one row.

        Raises:
            ValueError: rows of different lengths, an unknown type, or a framework that is not installed.
        """
        kind = plain(tensor_type)
        if kind is not None:
            make = _tensor_maker(kind)
            for name, value in self.items():
                self[name] = make(name, [value] if prepend_batch_axis else value)
        return self

    def to(self, *targets: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Encoding:
        """Move tensors to a device and cast floating-point values to a dtype, in place: `to("gpu:0", "float16")`."""
        for target in targets:
            name = str(target).rpartition(".")[2]
            if isinstance(target, type | np.dtype) or type(target).__name__ == "dtype" or name in _FLOATS:
                dtype = target
            else:
                device = target
        named = None if dtype is None else np.dtype(dtype).name if isinstance(dtype, type) else _last_word(dtype)
        for name, value in self.items():
            self[name] = _moved(value, device, named, non_blocking)
        return self

    def _row(self, index: int) -> RowEncoding:
        if self.encodings is None:
            raise ValueError("no text was encoded, so there are no tokens to look up")
        return self.encodings[index]

    def _look_up(self, method: str, first: int, second: int | None, *rest: int) -> Any:
        """Call a method of row `first` with `second`, or of row 0 with `first` alone."""
        row, index = (0, first) if second is None else (first, second)
        return getattr(self._row(row), method)(index, *rest)

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of one row."""
        return self._row(batch_index).tokens

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of one row the number of its word; None for special tokens."""
        return self._row(batch_index).word_ids

    words = word_ids

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of one row 0 or 1, the text of a pair that it comes from; None for special tokens."""
        return self._row(batch_index).sequence_ids

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text of a pair that a token comes from."""
        return self._look_up("token_to_sequence", batch_or_token_index, token_index)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The number of the word that a token belongs to."""
        return self._look_up("token_to_word", batch_or_token_index, token_index)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> Span | None:
        """The characters of a token."""
        return _span(self._look_up("token_to_chars", batch_or_token_index, token_index))

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """The tokens of a word."""
        return _span(self._look_up("word_to_tokens", batch_or_word_index, word_index, sequence_index))

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> Span | None:
        """The characters of a word."""
        return _span(self._look_up("word_to_chars", batch_or_word_index, word_index, sequence_index))

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token at a character."""
        return self._look_up("char_to_token", batch_or_char_index, char_index, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The word at a character."""
        return self._look_up("char_to_word", batch_or_char_index, char_index, sequence_index)


def plain(value: Any) -> Any:
    """The value of an enumeration such as `TensorType.NUMPY` or `PaddingStrategy.LONGEST`; anything else as it is."""
    return getattr(value, "value", value)


def framework_of(value: Any) -> str:
    """ "paddle", "torch", "numpy", or another top-level module that defines the type of a value."""
    return type(value).__module__.partition(".")[0]


def as_list(value: Any) -> Any:
    """Tensors and arrays as (nested) lists of numbers; lists of tensors too."""
    if framework_of(value) in ("paddle", "torch", "numpy"):
        return value.tolist()
    return [as_list(each) for each in value] if isinstance(value, list | tuple) else value


def _span(found: tuple[int, int] | None) -> Span | None:
    return None if found is None else Span(*found)


_FLOATS = ("float16", "bfloat16", "float32", "float64", "half", "float", "double")


def _last_word(dtype: Any) -> str:
    """The name in `paddle.float16`, `torch.float16`, `numpy.dtype("float16")` or "float16"."""
    return str(dtype).rpartition(".")[2]


def _moved(value: Any, device: Any, dtype: str | None, non_blocking: bool) -> Any:
    framework = framework_of(value)
    if framework == "numpy":
        return value.astype(dtype) if dtype is not None and value.dtype.kind == "f" else value
    if framework == "torch":
        import torch

        cast = getattr(torch, dtype) if dtype is not None and value.is_floating_point() else None
        return value.to(device=device, dtype=cast, non_blocking=non_blocking)
    if framework == "paddle":
        cast = dtype if dtype is not None and value.is_floating_point() else None
        if isinstance(device, int):
            device = f"gpu:{device}"
        elif isinstance(device, str):
            device = device.replace("cuda", "gpu")  # the port's name
        return value if device is None and cast is None else value.to(device=device, dtype=cast)
    return value


def _tensor_maker(kind: str) -> Callable[[str, Any], Any]:
    """The function that makes a tensor from the name and value of an input."""
    if kind not in TENSOR_TYPES:
        raise ValueError(f"return_tensors={kind!r} is unknown; use 'np', 'pd', 'pt' or None")
    if kind == "np":
        return _array
    # Both frameworks are slow to start, and only needed here.
    if kind == "pd":
        import paddle

        return lambda name, value: value if paddle.is_tensor(value) else paddle.to_tensor(_single(name, value))
    try:
        import torch
    except ImportError:
        raise ValueError("return_tensors='pt' needs PyTorch, which is not installed; use 'np' or 'pd'") from None
    return lambda name, value: value if torch.is_tensor(value) else torch.as_tensor(_single(name, value))


def _array(name: str, value: Any) -> np.ndarray:
    """Rows as one array; integers become int64, and so do no rows, (0, 0), and rows without tokens, (B, 0)."""
    if isinstance(value, np.ndarray):
        return value
    if framework_of(value) in ("paddle", "torch"):
        return value.numpy()
    if isinstance(value, list | tuple) and value and framework_of(value[0]) in ("paddle", "torch"):
        value = [each.numpy() for each in value]
    try:
        array = np.zeros((0, 0)) if isinstance(value, list) and not value else np.asarray(value)
        return array if array.size else array.astype(np.int64)
    except ValueError:
        raise ValueError(f"{name} has rows of different shapes, which do not form one tensor; pass padding=True, and "
                         "truncation=True to cut long texts (for pictures do_pad=True)") from None


def _single(name: str, value: Any) -> np.ndarray:
    """Like `_array`, but Python's own floats become float32, the default of both frameworks."""
    array = _array(name, value)
    given = value
    while isinstance(given, list | tuple) and given:
        given = given[0]
    return array.astype(np.float32) if isinstance(given, float) and not isinstance(given, np.generic) else array
