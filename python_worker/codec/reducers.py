"""How a Python object that MessagePack does not know becomes one that it does.

One table from type to reducer. A reducer returns either a value that MessagePack packs natively,
or a tuple ``(extension code, value)``, or one of the marks `REFERENCE` and `EXCEPTION`, whose
encoding needs what only the encoder has. A type that is not in the table is looked up by its
ancestors once and remembered.

Large arrays are left out of what is packed, and put in at the end: see `Aside`.

The encoder and the search for the path of a refused value (`value_paths`) both use it, so they
cannot disagree about what is inside an object.
"""

from __future__ import annotations

import datetime as dt
import enum
import secrets
import types
from collections.abc import Callable
from typing import Any, Final

import msgpack

from python_worker.buffers import Buffer
from python_worker.codec import records, tensors

TUPLE: Final = 1
SET: Final = 2
BIGINT: Final = 3
DATETIME: Final = 4
NAIVE: Final = 5
DATE: Final = 6
TIME: Final = 7
TENSOR: Final = 8
ENUM: Final = 9
REF: Final = 10
RECORD: Final = 11
FAILURE: Final = 12
PATCH: Final = 13
LOGPROB: Final = 14
STREAM: Final = 15
POSITION: Final = 16

MARK: Final = 127
"""Stands for what was left out while the rest of a value is packed. It is never sent."""


class NotEncodable(Exception):
    """A value cannot travel; the message says why, the path is not known yet."""


class _Mark:
    """A result of its own kind."""


REFERENCE: Final = _Mark()
EXCEPTION: Final = _Mark()

Reducer = Callable[[Any], object]

NATIVE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview, list, dict, msgpack.ExtType}
)
"""The types that the packer takes as they are; an int only within 64 bits."""

NO_VALUES: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    type,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
)
"""What has no meaning outside of the process, not even as a reference."""


def reducer_for(cls: type) -> Reducer:
    """Returns the reducer of a type."""
    reducer = _reducers.get(cls)
    if reducer is None:
        # Types that live shortly are rare in a worker; the table is never emptied.
        reducer = _reducers[cls] = _find(cls)
    return reducer


def _find(cls: type) -> Reducer:
    if issubclass(cls, enum.Enum):  # before int and str: an IntEnum is both
        return _enum
    if issubclass(cls, BaseException):
        return lambda _value: EXCEPTION
    if (record := records.record_of(cls)) is not None:
        return _logprob if record[0] == "Logprob" else _record_reducer(record)
    for base in cls.__mro__:
        if found := _BY_NAME.get(records.qualified_name(base)):
            return found
        if found := _BY_BASE.get(base):
            return found
    if issubclass(cls, NO_VALUES):
        return _refuse
    return lambda _value: REFERENCE


def _refuse(value: object) -> object:
    raise NotEncodable(f"an object of type {type(value).__name__} cannot be sent, nor referred to")


def _int(value: int) -> object:
    if -(2**63) <= value < 2**64:
        return int.__int__(value)
    # One more bit than the magnitude needs, for the sign.
    length = value.bit_length() // 8 + 1
    return msgpack.ExtType(BIGINT, value.to_bytes(length, "big", signed=True))


def _datetime(value: dt.datetime) -> object:
    if (offset := value.utcoffset()) is None:
        text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
        return msgpack.ExtType(NAIVE, text.encode())
    if offset % dt.timedelta(minutes=1):
        # ISO 8601 has no seconds in an offset (local mean times do).
        value = value.astimezone(dt.UTC)
    return msgpack.ExtType(DATETIME, value.isoformat(timespec="microseconds").encode())


def _date(value: dt.date) -> object:
    return msgpack.ExtType(DATE, value.isoformat().encode())


def _time(value: dt.time) -> object:
    if value.tzinfo is not None:
        raise NotEncodable("a time of day with a time zone cannot be sent: send a datetime")
    return msgpack.ExtType(TIME, value.isoformat(timespec="microseconds").encode())


def _enum(member: enum.Enum) -> object:
    # A combination of flags may have no name.
    return ENUM, [type(member).__name__, member.name or str(member.value)]


def _numpy_array(array: Any) -> object:
    wire = tensors.from_numpy(array)
    return array.tolist() if wire is None else (TENSOR, list(wire))


def _numpy_scalar(scalar: Any) -> object:
    value = scalar.item()
    if type(value) is type(scalar):  # long doubles have no Python counterpart
        raise NotEncodable(f"a numpy {scalar.dtype.name} cannot be sent: convert it to float64")
    return value


def _torch_tensor(tensor: Any) -> object:
    wire = tensors.from_torch(tensor)
    return REFERENCE if wire is None else (TENSOR, list(wire))


def _record_reducer(record: records.Record) -> Reducer:
    name, fields = record
    read = records.field_reader(fields)
    return lambda value: (RECORD, [name, read(value)])


def _logprob(value: Any) -> object:
    return LOGPROB, [value.logprob, value.rank, value.decoded_token]


class Position:
    """The logprobs of one position, a dict by token id, which goes as columns.

    As a dict it would be an extension type for each entry: with `logprobs=5` six for each token,
    and 36 µs for an item instead of 16.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: dict[int, Any]) -> None:
        self.entries = entries


def _position(position: Position) -> object:
    entries = position.entries
    values = entries.values()
    if not all(reducer_for(cls) is _logprob for cls in set(map(type, values))):
        return entries
    return POSITION, [
        list(entries),
        [value.logprob for value in values],
        [value.rank for value in values],
        [value.decoded_token for value in values],
    ]


def _flat_logprobs(value: Any) -> object:
    """A list of dicts, made from the flat lists without an object for every entry."""
    token_ids, decoded = value.token_ids, value.decoded_tokens
    logprobs, ranks = value.logprobs, value.ranks
    return [
        {token_ids[i]: _PlainLogprob(logprobs[i], ranks[i], decoded[i]) for i in range(start, end)}
        # The first prompt token has no logprobs, which the flat form cannot tell from an empty
        # position; it stays the empty dict that iterating vLLM's object gives.
        for start, end in zip(value.start_indices, value.end_indices, strict=True)
    ]


class _PlainLogprob(tuple[float, int, str]):
    """A logprob on its way out of the flat form."""

    __slots__ = ()

    def __new__(cls, logprob: float, rank: int, decoded_token: str) -> _PlainLogprob:
        return tuple.__new__(cls, (logprob, rank, decoded_token))


_BY_NAME: dict[str, Reducer] = {
    "numpy.ndarray": _numpy_array,
    "numpy.generic": _numpy_scalar,
    "torch.Tensor": _torch_tensor,
    records.FLAT_LOGPROBS: _flat_logprobs,
}
"""Classes of libraries that this module must not import."""

_BY_BASE: dict[type, Reducer] = {
    tuple: lambda value: (TUPLE, list(value)),
    set: lambda value: (SET, list(value)),
    frozenset: lambda value: (SET, list(value)),
    dt.datetime: _datetime,
    dt.date: _date,
    dt.time: _time,
    # The packer takes these types exactly; what reaches us is a subclass, or too large an int.
    int: _int,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    dict: lambda value: dict(value.items()),
    list: lambda value: list(value),
    _PlainLogprob: lambda value: (LOGPROB, list(value)),
}

_reducers: dict[type, Reducer] = {**_BY_BASE, Position: _position}


class Aside:
    """What is left out while a value is packed, and put in at the end.

    Extension types are packed inside out, each level as bytes of its own which are copied into the
    level around it. An array inside a struct inside a list would be copied six times. So a mark is
    packed in its place, which nothing else in the value can hold, and the levels around it are
    marks as well, because their headers say how long they are.
    """

    def __init__(self) -> None:
        secret = secrets.token_bytes(8)
        self._prefix = bytes((0xD8, MARK)) + secret  # an extension type of 16 bytes
        self._secret = secret
        self._left_out: list[list[Buffer]] = []

    def tensor(self, head: bytes, data: memoryview) -> msgpack.ExtType:
        """Leaves an array out.

        Args:
            head: Its dtype and shape, as a packed list.
            data: Its bytes.
        """
        head = b"\x93" + head[1:] + b"\xc6" + len(data).to_bytes(4, "big")  # three items, bytes
        return self._leave_out(TENSOR, [head, data])

    def level(self, code: int, packed: bytes) -> msgpack.ExtType:
        """Makes an extension type of what was packed, which may hold marks."""
        if self._prefix not in packed:
            return msgpack.ExtType(code, packed)
        return self._leave_out(code, self.fill(packed))

    def fill(self, packed: bytes) -> list[Buffer]:
        """Returns what was packed in parts, with what was left out in its places."""
        first, *others = packed.split(self._prefix)
        parts: list[Buffer] = [first]
        for other in others:
            parts += self._left_out[int.from_bytes(other[:8], "big")]
            parts.append(other[8:])
        return parts

    def _leave_out(self, code: int, parts: list[Buffer]) -> msgpack.ExtType:
        size = sum(map(len, parts))
        if size >= 2**32:
            raise ValueError("more than 4 GiB in one value cannot be sent")
        header = b"\xc9" + size.to_bytes(4, "big") + bytes((code,))
        self._left_out.append([header, *parts])
        return msgpack.ExtType(MARK, self._secret + (len(self._left_out) - 1).to_bytes(8, "big"))


def split_tensor(data: bytes) -> list[object] | None:
    """Reads the parts of a large array without a copy of its bytes.

    Returns:
        The dtype, the shape and a view of the bytes, yet to be checked; None where the content of
        the extension type does not look like that.
    """
    unpacker = msgpack.Unpacker()
    unpacker.feed(data[:1024])
    try:
        if unpacker.read_array_header() != 3:
            return None
        dtype, shape = unpacker.unpack(), unpacker.unpack()
    except (ValueError, msgpack.exceptions.UnpackException):
        return None
    start = unpacker.tell() + 5
    if data[start - 5 : start] != b"\xc6" + (len(data) - start).to_bytes(4, "big", signed=True):
        return None
    return [dtype, shape, memoryview(data)[start:]]
