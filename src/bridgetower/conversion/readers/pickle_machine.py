"""A pickle interpreter that cannot run anything.

It is written by hand because `pickle.Unpickler` imports and calls whatever a file names, and because even with
`find_class` overridden a five-byte opcode can make its C code allocate tens of gigabytes. This interpreter works on a
buffer, imports nothing, calls only the builders it is given, keeps large byte strings as views of the buffer, and
answers every malformed input with a `CheckpointError`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import CheckpointError
from .pickled_values import Buildable, Name, Placeholder, as_key, is_hostile

MAX_OPERATIONS = 20_000_000  # a large model with its optimizer needs about 200,000
_SMALL_BYTES = 256

Builder = Callable[..., Any]


class _Mark:
    """The mark that the MARK opcode pushes."""


_MARK = _Mark()


class PickleMachine:
    """Interprets one pickle of a buffer.

    Args:
        data: the buffer; byte strings of the result are views of it, so it must stay open.
        builders: the callables, by (module, name).
        persistent: turns a persistent id into an object; None: persistent ids are an error.
        start: offset of the pickle in `data`.
    """

    max_operations = MAX_OPERATIONS

    def __init__(
        self,
        data: memoryview,
        builders: Mapping[tuple[str, str], Builder],
        persistent: Callable[[Any], Any] | None = None,
        start: int = 0,
    ) -> None:
        self._data = data
        self._builders = builders
        self._persistent = persistent
        self.position = start
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Interpret the pickle and return its object; `position` is then the offset after the pickle.

        Raises:
            CheckpointError: the pickle is malformed, or calls something that no checkpoint should call.
        """
        try:
            for _ in range(self.max_operations):
                opcode = self._data[self.position]
                self.position += 1
                if opcode == 0x2E:  # STOP
                    return self._pop()
                self._execute(opcode)
        except CheckpointError:
            raise
        except (
            IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error, RecursionError,
            MemoryError,
        ) as error:  # fmt: skip
            raise CheckpointError(f"broken pickle at byte {self.position}; copy or download the file again") from error
        raise CheckpointError(f"a pickle with more than {self.max_operations} operations is not a checkpoint")

    def _execute(self, opcode: int) -> None:
        _OPERATIONS[opcode](self)

    # -- reading the buffer

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise CheckpointError(f"truncated pickle: {count} bytes wanted at {self.position} of {len(self._data)}")
        view = self._data[self.position : end]
        self.position = end
        return view

    def _unpack(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        # Lines hold names and numbers; longer ones are malformed.
        window = bytes(self._data[self.position : self.position + 4096])
        length = window.index(b"\n")
        self.position += length + 1
        return window[:length].decode("utf-8")

    def _bytes(self, count: int) -> bytes | memoryview:
        view = self._take(count)
        return bytes(view) if count <= _SMALL_BYTES else view

    def _text(self, count: int) -> str:
        return str(self._take(count), "utf-8", "surrogatepass")

    # -- the stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where an object should be")
        return value

    def _top(self) -> Any:
        if self._stack[-1] is _MARK:
            raise ValueError("a mark where an object should be")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise ValueError("no mark")

    def _tuple(self, count: int) -> None:
        self._push(tuple([self._pop() for _ in range(count)][::-1]))

    # -- objects

    def _find(self, module: Any, name: Any) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name must be text")
        self._push(Name(module, name))

    def _call(self, callee: Any, args: Any) -> None:
        if isinstance(callee, Name) and isinstance(args, tuple):
            builder = self._builders.get((callee.module, callee.name))
            if builder is not None:
                self._push(builder(*args))
                return
            if is_hostile(callee):
                raise CheckpointError(f"the file tries to call {callee}; nothing was run, do not trust it")
        self._push(Placeholder(callee if isinstance(callee, Name) else None, args))

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Placeholder):
            target.elements.extend(values)
        else:
            raise TypeError("append to something that is not a list")

    def _set_items(self, values: list[Any]) -> None:
        target = self._top()
        if len(values) % 2:
            raise ValueError("a key without a value")
        if isinstance(target, Placeholder):
            target = target.items
        if not isinstance(target, dict):
            raise TypeError("item set on something that is not a dictionary")
        for index in range(0, len(values), 2):
            target[as_key(values[index])] = values[index + 1]

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Placeholder):
            target.state = state
        elif isinstance(target, Buildable):
            target.set_state(state)
        # Attributes of plain containers (torch hangs `_metadata` on a state dict) are not needed here.

    def _persistent_id(self) -> None:
        if self._persistent is None:
            raise CheckpointError("the pickle refers to records outside itself; it was cut out of a larger file")
        self._push(self._persistent(self._pop()))

    def _memo_put(self, index: int) -> None:
        self._memo[index] = self._top()


def _unquote(text: str) -> str:
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"" or "\\" in text:
        raise ValueError("unsupported quoted string")
    return text[1:-1]


def _integer(text: str) -> int:
    return text == "01" if text in ("00", "01") else int(text)  # protocol 0 spells booleans so


Operation = Callable[[PickleMachine], Any]


#: Actions by opcode, in groups. Opcodes that are missing (extension registry, out-of-band buffers) are errors.
_STACK: dict[bytes, Operation] = {
    b"\x80": lambda s: s._unpack("<B"),  # PROTO
    b"\x95": lambda s: s._unpack("<Q"),  # FRAME: the length is only a hint
    b"(": lambda s: s._push(_MARK),
    b"0": lambda s: s._stack.pop(),  # POP
    b"1": lambda s: s._pop_mark(),
    b"2": lambda s: s._push(s._top()),  # DUP
}
_VALUES: dict[bytes, Operation] = {
    b"N": lambda s: s._push(None),
    b"\x88": lambda s: s._push(True),
    b"\x89": lambda s: s._push(False),
    b"I": lambda s: s._push(_integer(s._line())),
    b"L": lambda s: s._push(int(s._line().rstrip("L"))),
    b"F": lambda s: s._push(float(s._line())),
    b"J": lambda s: s._push(s._unpack("<i")),
    b"K": lambda s: s._push(s._unpack("<B")),
    b"M": lambda s: s._push(s._unpack("<H")),
    b"G": lambda s: s._push(s._unpack(">d")),
    b"\x8a": lambda s: s._push(int.from_bytes(s._take(s._unpack("<B")), "little", signed=True)),
    b"\x8b": lambda s: s._push(int.from_bytes(s._take(s._unpack("<i")), "little", signed=True)),
    # text and bytes; Python 2 wrote byte strings, read here as latin-1 text
    b"V": lambda s: s._push(s._line()),
    b"S": lambda s: s._push(_unquote(s._line())),
    b"U": lambda s: s._push(str(s._take(s._unpack("<B")), "latin-1")),
    b"T": lambda s: s._push(str(s._take(s._unpack("<i")), "latin-1")),
    b"X": lambda s: s._push(s._text(s._unpack("<I"))),
    b"\x8c": lambda s: s._push(s._text(s._unpack("<B"))),
    b"\x8d": lambda s: s._push(s._text(s._unpack("<Q"))),
    b"C": lambda s: s._push(s._bytes(s._unpack("<B"))),
    b"B": lambda s: s._push(s._bytes(s._unpack("<I"))),
    b"\x8e": lambda s: s._push(s._bytes(s._unpack("<Q"))),
    b"\x96": lambda s: s._push(s._bytes(s._unpack("<Q"))),
}
_CONTAINERS: dict[bytes, Operation] = {
    b"]": lambda s: s._push([]),
    b"}": lambda s: s._push({}),
    b")": lambda s: s._push(()),
    b"\x8f": lambda s: s._push([]),  # EMPTY_SET: order and duplicates do not matter here
    b"a": lambda s: s._append([s._pop()]),
    b"e": lambda s: s._append(s._pop_mark()),
    b"\x90": lambda s: s._append(s._pop_mark()),
    b"s": lambda s: s._set_items([s._pop(), s._pop()][::-1]),
    b"u": lambda s: s._set_items(s._pop_mark()),
    b"t": lambda s: s._push(tuple(s._pop_mark())),
    b"l": lambda s: s._push(s._pop_mark()),
    b"d": lambda s: _dictionary(s, s._pop_mark()),
    b"\x91": lambda s: s._push(s._pop_mark()),  # FROZENSET
    b"\x85": lambda s: s._tuple(1),
    b"\x86": lambda s: s._tuple(2),
    b"\x87": lambda s: s._tuple(3),
}
_MEMO: dict[bytes, Operation] = {
    b"p": lambda s: s._memo_put(int(s._line())),
    b"q": lambda s: s._memo_put(s._unpack("<B")),
    b"r": lambda s: s._memo_put(s._unpack("<I")),
    b"\x94": lambda s: s._memo_put(len(s._memo)),
    b"g": lambda s: s._push(s._memo[int(s._line())]),
    b"h": lambda s: s._push(s._memo[s._unpack("<B")]),
    b"j": lambda s: s._push(s._memo[s._unpack("<I")]),
}
_OBJECTS: dict[bytes, Operation] = {
    b"c": lambda s: s._find(s._line(), s._line()),
    b"\x93": lambda s: s._find(*[s._pop(), s._pop()][::-1]),
    b"i": lambda s: _call_marked(s, Name(s._line(), s._line())),
    b"o": lambda s: _call_marked(s, None),
    b"R": lambda s: _call_with(s, s._pop()),
    b"\x81": lambda s: _call_with(s, s._pop()),  # NEWOBJ
    b"\x92": lambda s: _call_with(s, (s._pop(), s._pop())[1]),  # NEWOBJ_EX, keywords unused
    b"b": PickleMachine._build,
    b"Q": PickleMachine._persistent_id,
}


def _dictionary(machine: PickleMachine, values: list[Any]) -> None:
    machine._push({})
    machine._set_items(values)


def _call_with(machine: PickleMachine, args: Any) -> None:
    machine._call(machine._pop(), args)


def _call_marked(machine: PickleMachine, callee: Name | None) -> None:
    values = machine._pop_mark()
    if callee is None:
        callee, values = values[0], values[1:]
    machine._call(callee, tuple(values))


_OPERATIONS = {opcode[0]: action for opcode, action in
               (_STACK | _VALUES | _CONTAINERS | _MEMO | _OBJECTS).items()}
