"""The pickle interpreter: agrees with Python on data, runs nothing, never fails in another way than its own error."""

from __future__ import annotations

import collections
import pickle
import struct
import sys
import types
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridgetower.conversion import CheckpointError
from bridgetower.conversion.readers.pickle_machine import PickleMachine
from bridgetower.conversion.readers.pickled_values import Name, Placeholder, is_hostile, plain
from bridgetower.conversion.readers.tensor_pickle import BUILDERS


def load(data: bytes) -> Any:
    return PickleMachine(memoryview(data), BUILDERS).run()


KEYS = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(max_size=20))
VALUES = st.recursive(
    st.one_of(KEYS, st.floats(allow_nan=False), st.binary(max_size=40)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.tuples(inner, inner),
                            st.tuples(inner, inner, inner, inner), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)  # fmt: skip


@given(value=VALUES, protocol=st.integers(1, pickle.HIGHEST_PROTOCOL))
def test_reads_data_as_python_does(value: Any, protocol: int) -> None:
    assert load(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("value", [True, False, None, 7, -3, 2**80, 1.5, "text", [1, [2]], (1, 2), {"a": (3,)}])
def test_reads_the_text_protocol(value: Any) -> None:
    assert load(pickle.dumps(value, 0)) == value


def test_reads_python_2_strings() -> None:
    assert load(b"\x80\x02}U\x01aU\x03xyzs.") == {"a": "xyz"}
    assert load(b"(dp0\nS'a'\np1\nI1\ns.") == {"a": 1}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_shared_objects_stay_shared(protocol: int) -> None:
    inner = [1]
    first, second = load(pickle.dumps([inner, inner], protocol))
    assert first is second


def test_large_bytes_are_views_of_the_buffer() -> None:
    data = pickle.dumps(b"x" * 1000, 4)
    assert isinstance(load(data), memoryview)
    assert bytes(load(data)) == b"x" * 1000


def test_ordered_and_default_dictionaries() -> None:
    assert load(pickle.dumps(collections.OrderedDict(b=1, a=2))) == {"b": 1, "a": 2}
    assert load(pickle.dumps(collections.defaultdict(list, {"a": [1]}))) == {"a": [1]}


def _with_foreign_module(make: Any) -> bytes:
    """Pickle an object of classes in a module that no longer exists when it is read."""
    module = types.ModuleType("departed")

    class FrozenDict(dict):  # type: ignore[type-arg]
        pass

    class FrozenList(list):  # type: ignore[type-arg]
        pass

    class Callback:
        def __init__(self) -> None:
            self.best = 1.5

    for cls in (FrozenDict, FrozenList, Callback):
        cls.__module__, cls.__qualname__ = "departed", cls.__name__
        setattr(module, cls.__name__, cls)
    sys.modules["departed"] = module
    try:
        return pickle.dumps(make(module), 2)
    finally:
        del sys.modules["departed"]


def test_foreign_containers_become_plain_ones() -> None:
    data = _with_foreign_module(lambda m: m.FrozenDict(a=m.FrozenList([1, m.FrozenDict(b=2)]), c=3))
    assert plain(load(data)) == {"a": [1, {"b": 2}], "c": 3}


def test_foreign_objects_are_inert() -> None:
    value = load(_with_foreign_module(lambda m: {m.Callback: 1, "made": m.Callback()}))
    assert value[Name("departed", "Callback")] == 1
    made = value["made"]
    assert isinstance(made, Placeholder) and made.state == {"best": 1.5}
    assert "departed" not in sys.modules


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> Any:
        return self.function, self.args


HOSTILE = [
    b"cos\nsystem\n(S'echo hacked'\ntR.",
    b"cposix\nsystem\n(S'echo hacked'\ntR.",
    b"c__builtin__\neval\n(S'1'\ntR.",
    b"cbuiltins\nexec\n(S'1'\ntR.",
    b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93(K\x01\x8c\x01xtR.",
    b"csubprocess\nPopen\n(S'ls'\ntR.",
    b"(S'1'\nios\nsystem\n.",
    b"(cos\nsystem\nS'1'\no.",
    b"\x80\x02cos\nsystem\n(U\x011t\x81.",
    b"cimportlib\nimport_module\n(S'os'\ntR.",
    b"cos\npath.join\n)R.",
]


@pytest.mark.parametrize("data", HOSTILE)
def test_hostile_calls_are_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="tries to call .* nothing was run"):
        load(data)


def test_unlisted_calls_do_not_run(tmp_path: Any) -> None:
    marker = tmp_path / "marker"
    value = load(pickle.dumps([_Call(marker.__class__, str(marker)), _Call(print, "text")]))
    assert all(isinstance(part, Placeholder) for part in value)


@pytest.mark.parametrize("name, hostile", [
    (Name("os", "system"), True), (Name("builtins", "eval"), True), (Name("builtins", "set"), False),
    (Name("torch._utils", "_rebuild_tensor_v2"), False), (Name("os.path", "join"), True),
    (Name("pathlib", "PosixPath"), False),
])  # fmt: skip
def test_is_hostile(name: Name, hostile: bool) -> None:
    assert is_hostile(name) is hostile


@pytest.mark.parametrize("data", [
    b"", b".", b"\x80", b"\x80\x02", b"K", b"(", b"(.", b"}K\x01s.", b"t.", b"R.", b"b.", b"h\x05.", b"Q.",
    b"X\xff\xff\xff\xff.", b"\x8e" + struct.pack("<Q", 2**63) + b".", b"\x8e" + struct.pack("<Q", 2**40) + b"x.",
    b"\x8b\xff\xff\xff\xff.", b"Ix\n.", b"I", b"\xff.", b"\x82\x01.", b"\x97.", b"cos\n", b"]K\x01K\x02s.",
    b"K\x01K\x02a.", b"(K\x01}K\x02u.", b"V\xff\n.", b"K\x01(K\x02\x93.", b"K\x01K\x02\x93.",
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4tRK\x01b.",
])  # fmt: skip
def test_malformed_pickles_are_clean_errors(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        load(data)


def test_memo_index_allocates_nothing() -> None:
    # pickle.Unpickler grows its memo to twice this index: 64 GB.
    assert load(b"K\x01r\xff\xff\xff\xff.") == 1


def test_deep_nesting_neither_recurses_nor_crashes() -> None:
    depth = 200_000
    deep = load(b"]" * depth + b"a" * (depth - 1) + b".")
    with pytest.raises(CheckpointError, match="50 levels"):
        plain(deep)
    # Hashing this tuple would overflow the C stack; as a key it becomes a placeholder.
    key = next(iter(load(b"})" + b"\x85" * depth + b"K\x01s.")))
    assert isinstance(key, Placeholder)


def test_settings_that_unfold_without_end() -> None:
    # Forty lists, each holding the previous one twice: 200 bytes that describe 10^12 items.
    data = b"]" + b"".join(b"q%c](h%ch%ce" % (i, i, i) for i in range(40)) + b"."
    with pytest.raises(CheckpointError, match="endless"):
        plain(load(data))


def test_endless_pickles_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PickleMachine, "max_operations", 1000)
    with pytest.raises(CheckpointError, match="more than 1000 operations"):
        load(b"N0" * 1000 + b"N.")
