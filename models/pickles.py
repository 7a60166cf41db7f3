"""Pickles read as data: what they say is written down, and none of it is done.

A pickle is a program for a small stack machine that names functions and has them called. The
machine here knows the same instructions and keeps the names as names and the calls as notes: it
imports nothing, looks nothing up, makes no object of a class that a file names, and has no way to
call anything. It takes no more instructions than a network needs, so that a small file can't fill
the memory.

Instructions and their numbers are the standard library's (`pickletools`), strings of Python 2
come as Latin-1.
"""

import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

# A whole network and its optimizer take some tens of thousands, whatever its width.
MAX_INSTRUCTIONS = 300_000

# What a pickle that is none, or is cut short, makes the reading raise.
_MALFORMED = (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error)


class PickleError(Exception):
    """A pickle can't be used. The text continues a sentence: what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Named:
    """A class or function that a pickle names, such as `torch.FloatStorage`: the name alone."""

    name: str


@dataclass(eq=False)
class Made:
    """What a pickle wanted made, by calling `maker` with `arguments`; it was not."""

    maker: str
    arguments: tuple[Any, ...]
    state: dict[Any, Any] = field(default_factory=dict)


def read_pickle(file: BinaryIO, persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value of one pickle, as plain containers, `Named` and `Made`; `file` is then after it.

    `persistent` gives the value for what the pickle refers to outside of itself. Ordered
    dictionaries become dictionaries, sets lists. Raises `PickleError`.
    """
    machine = _Machine(persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            machine.do(opcode.name, argument)
        return machine.stack.pop()
    except _MALFORMED:
        raise PickleError("it is damaged") from None


class _Machine:
    """The stack machine. `do` takes one instruction."""

    def __init__(self, persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._persistent = persistent
        self._steps_left = MAX_INSTRUCTIONS

    def do(self, name: str, argument: Any) -> None:
        """Raises `PickleError` for an instruction that isn't known, others if it can't be done."""
        self._spend(1)
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in _WITHOUT_EFFECT:
            raise PickleError(f"it holds what no network does (instruction {name})")

    def _spend(self, steps: int) -> None:
        self._steps_left -= steps
        if self._steps_left < 0:
            raise PickleError("it is longer than a network's can be")

    def mark(self, _: Any) -> None:
        self._marks.append(len(self.stack))

    def pop(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self.stack):
            self._marks.pop()
        else:
            self.stack.pop()

    def drop_marked(self, _: Any) -> None:
        self.pop_marked()

    def pop_marked(self) -> list[Any]:
        start = self._marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def put(self, number: int) -> None:
        self._memo[number] = self.stack[-1]

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.stack[-1]

    def get(self, number: int) -> None:
        self.stack.append(self._memo[number])

    def tuple_of(self, count: int) -> None:
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def marked_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.pop_marked()))

    def marked_list(self, _: Any) -> None:
        self.stack.append(self.pop_marked())

    def marked_dict(self, _: Any) -> None:
        self.stack.append(_fill({}, self.pop_marked()))

    def append(self, _: Any) -> None:
        item = self.stack.pop()
        _extend(self.stack[-1], [item])

    def append_marked(self, _: Any) -> None:
        items = self.pop_marked()
        _extend(self.stack[-1], items)

    def set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [key, value])

    def set_marked(self, _: Any) -> None:
        items = self.pop_marked()
        _fill(self.stack[-1], items)

    def name(self, module_and_name: str) -> None:
        self.stack.append(Named(module_and_name.replace(" ", ".")))

    def name_on_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise PickleError("it is damaged")
        self.stack.append(Named(f"{module}.{name}"))

    def call(self, _: Any) -> None:
        arguments, maker = self.stack.pop(), self.stack.pop()
        self._make(maker, arguments if type(arguments) is tuple else ())

    def call_with_keywords(self, _: Any) -> None:
        self.stack.pop()
        self.call(None)

    def call_marked(self, _: Any) -> None:
        maker, *arguments = self.pop_marked()
        self._make(maker, tuple(arguments))

    def call_named(self, module_and_name: str) -> None:
        self._make(Named(module_and_name.replace(" ", ".")), tuple(self.pop_marked()))

    def _make(self, maker: Any, arguments: tuple[Any, ...]) -> None:
        """A note of the call; of plain containers the container itself."""
        name = maker.name if type(maker) is Named else ""
        if name == "collections.OrderedDict":
            # Python 2 hands over a list of [key, value].
            pairs = arguments[0] if arguments and type(arguments[0]) is list else []
            self._spend(len(pairs))
            self.stack.append(_fill({}, [part for key, value in pairs for part in (key, value)]))
        elif name in ("builtins.set", "__builtin__.set"):
            self.stack.append(arguments[0] if arguments else [])
        else:
            self.stack.append(Made(name, arguments))

    def build(self, _: Any) -> None:
        state = self.stack.pop()
        if type(state) is tuple and state:  # with slots, which come second
            state = state[0]
        if type(self.stack[-1]) is Made and type(state) is dict:
            self.stack[-1].state = state

    def refer(self, argument: Any) -> None:
        if self._persistent is None:
            raise PickleError("it refers to another file")
        self.stack.append(self._persistent(argument))

    def refer_on_stack(self, _: Any) -> None:
        self.refer(self.stack.pop())


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is list:
        target.extend(items)


def _fill(target: Any, keys_and_values: list[Any]) -> Any:
    """Items into a dictionary; into anything else none. Keys that are containers are left out."""
    if type(target) is dict:
        for key, value in zip(keys_and_values[::2], keys_and_values[1::2], strict=True):
            # To hash a tuple goes as deep as the tuple, and a file's may be deeper than the stack.
            if type(key) in (str, int):
                target[key] = value
    return target


_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_STRINGS = ("STRING", "BINSTRING", "SHORT_BINSTRING")
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
_LITERALS = frozenset(_NUMBERS + _STRINGS + _TEXTS + _BYTES)
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": _Machine.drop_marked,
    "DUP": _Machine.duplicate,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": _Machine.marked_tuple,
    "LIST": _Machine.marked_list,
    "DICT": _Machine.marked_dict,
    "FROZENSET": _Machine.marked_list,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.append_marked,
    "ADDITEMS": _Machine.append_marked,
    "SETITEM": _Machine.set_item,
    "SETITEMS": _Machine.set_marked,
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.name_on_stack,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "NEWOBJ_EX": _Machine.call_with_keywords,
    "OBJ": _Machine.call_marked,
    "INST": _Machine.call_named,
    "BUILD": _Machine.build,
    "PERSID": _Machine.refer,
    "BINPERSID": _Machine.refer_on_stack,
}
_WITHOUT_EFFECT = frozenset(("PROTO", "FRAME", "STOP"))
