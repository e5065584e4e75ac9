"""How a Python object that MessagePack does not know becomes one that it knows.

One table from type to reducer. A reducer returns one of three things:

* a value that MessagePack packs natively;
* a tuple ``(extension code, content)``;
* `AS_REFERENCE` or `AS_EXCEPTION`: the encoder has a callback that turns the object into bytes.

A type that is not in the table is looked up by its base classes once, then remembered. The encoder
and the search for the path of an error (`value_paths`) use the same table, so that they agree about
what is inside an object.
"""

from __future__ import annotations

import collections
import datetime as dt
import enum
import types
from collections.abc import Callable, Iterator, Mapping, MappingView, Sequence, Set
from typing import Any, Final

import msgpack

from python_worker.codec import records, tensors
from python_worker.codec.extension_types import (
    BIGINT,
    DATE,
    DATETIME,
    ENUM,
    LOGPROB,
    LOGPROB_COLUMNS,
    NAIVE_DATETIME,
    RECORD,
    SET,
    TENSOR,
    TIME,
    TUPLE,
)
from python_worker.codec.types import Record


class NotEncodable(Exception):
    """A value cannot be sent. The message says why; `value_paths` finds its path."""


class _Sentinel:
    """The type of `AS_REFERENCE` and `AS_EXCEPTION`."""


AS_REFERENCE: Final = _Sentinel()
AS_EXCEPTION: Final = _Sentinel()

Reducer = Callable[[Any], object]

NATIVE: Final = frozenset(
    {type(None), bool, int, float, str, bytes, bytearray, memoryview, list, dict, msgpack.ExtType}
)
"""The types that the packer packs itself; an int only if it fits in 64 bits."""

NOT_SENDABLE: Final = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    type,
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
)
"""Types that make no sense in another process, not even as a reference."""


def reducer_for(cls: type) -> Reducer:
    """Returns the reducer of a type."""
    reducer = _reducers.get(cls)
    if reducer is None:
        # A worker creates few types at run time, so entries are never removed.
        reducer = _reducers[cls] = _find(cls)
    return reducer


def _find(cls: type) -> Reducer:
    if issubclass(cls, enum.Enum):  # before int and str: an IntEnum is both
        return _enum
    if issubclass(cls, BaseException):
        return lambda _value: AS_EXCEPTION
    if (record := records.record_of(cls)) is not None:
        return _logprob if record[0] == "Logprob" else _record_reducer(record)
    for base in cls.__mro__:
        if found := _BY_NAME.get(records.qualified_name(base)):
            return found
        if found := _BY_BASE.get(base):
            return found
    if issubclass(cls, NOT_SENDABLE) or _is_iterator(cls):
        return _not_sendable
    for abstract, reducer in _BY_ABSTRACT_BASE.items():
        if issubclass(cls, abstract):
            return reducer
    return _reference


def keep_by_reference(cls: type) -> None:
    """Has the objects of a class sent as references, whatever else they are.

    A class that clients are served may be a mapping or a sequence too.
    """
    _BY_BASE[cls] = _reference


def _is_iterator(cls: type) -> bool:
    """Whether it is one of Python's own iterators, such as those of ``map`` and ``zip``."""
    return issubclass(cls, Iterator) and cls.__module__ in ("builtins", "itertools")


def _reference(_value: object) -> object:
    return AS_REFERENCE


def _not_sendable(value: object) -> object:
    raise NotEncodable(
        f"an object of type {type(value).__name__} cannot be sent, not even by reference"
    )


def _int(value: int) -> object:
    if -(2**63) <= value < 2**64:
        return int.__int__(value)
    # One more bit than the magnitude needs, for the sign.
    length = value.bit_length() // 8 + 1
    return msgpack.ExtType(BIGINT, value.to_bytes(length, "big", signed=True))


def _datetime(value: dt.datetime) -> object:
    if (offset := value.utcoffset()) is None:
        text = value.replace(tzinfo=None).isoformat(timespec="microseconds")
        return msgpack.ExtType(NAIVE_DATETIME, text.encode())
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
    parts = tensors.from_numpy(array)
    return array.tolist() if parts is None else (TENSOR, list(parts))


def _numpy_scalar(scalar: Any) -> object:
    value = scalar.item()
    if type(value) is type(scalar):  # long doubles have no Python counterpart
        raise NotEncodable(f"a numpy {scalar.dtype.name} cannot be sent: convert it to float64")
    return value


def _torch_tensor(tensor: Any) -> object:
    parts = tensors.from_torch(tensor)
    return AS_REFERENCE if parts is None else (TENSOR, list(parts))


def _record_reducer(record: records.RecordType) -> Reducer:
    name, fields = record
    read = records.field_reader(fields)
    return lambda value: (RECORD, [name, read(value)])


def _logprob(value: Any) -> object:
    return LOGPROB, [value.logprob, value.rank, value.decoded_token]


class LogprobColumns:
    """The logprobs of one token position, a dict by token id, to be sent as columns.

    As a dict each entry would be an extension type of its own: with ``logprobs=5`` six for each
    token, and 36 µs to encode an item instead of 16.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: dict[int, Any]) -> None:
        self.entries = entries


def _logprob_columns(columns: LogprobColumns) -> object:
    entries = columns.entries
    values = entries.values()
    if not all(reducer_for(cls) is _logprob for cls in set(map(type, values))):
        return entries
    return LOGPROB_COLUMNS, [
        list(entries),
        [value.logprob for value in values],
        [value.rank for value in values],
        [value.decoded_token for value in values],
    ]


def _flat_logprobs(value: Any) -> object:
    """Returns vLLM's FlatLogprobs as a list of dicts, one for each position."""
    token_ids, decoded = value.token_ids, value.decoded_tokens
    logprobs, ranks = value.logprobs, value.ranks
    return [
        {token_ids[i]: _FlatLogprob(logprobs[i], ranks[i], decoded[i]) for i in range(start, end)}
        # The first prompt token has no logprobs, which the flat form cannot tell from an empty
        # position; it stays the empty dict that iterating vLLM's object gives.
        for start, end in zip(value.start_indices, value.end_indices, strict=True)
    ]


class _FlatLogprob(tuple[float, int, str]):
    """One entry of FlatLogprobs: cheaper to make than vLLM's Logprob."""

    __slots__ = ()

    def __new__(cls, logprob: float, rank: int, decoded_token: str) -> _FlatLogprob:
        return tuple.__new__(cls, (logprob, rank, decoded_token))


_BY_NAME: dict[str, Reducer] = {
    "numpy.ndarray": _numpy_array,
    "numpy.generic": _numpy_scalar,
    "torch.Tensor": _torch_tensor,
    records.FLAT_LOGPROBS: _flat_logprobs,
}
"""Classes by their qualified name: this module must not import their libraries."""

_BY_BASE: dict[type, Reducer] = {
    tuple: lambda value: (TUPLE, list(value)),
    set: lambda value: (SET, list(value)),
    frozenset: lambda value: (SET, list(value)),
    dt.datetime: _datetime,
    dt.date: _date,
    dt.time: _time,
    # The packer packs these types itself. What comes here is a subclass, or an int over 64 bits.
    int: _int,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    dict: lambda value: dict(value.items()),
    list: lambda value: list(value),
    collections.UserString: str,
    _FlatLogprob: lambda value: (LOGPROB, list(value)),
}

_BY_ABSTRACT_BASE: Final[dict[type, Reducer]] = {
    Mapping: lambda value: dict(value.items()),
    MappingView: lambda value: list(value),  # keys and items are sets too, but have an order
    Set: lambda value: (SET, list(value)),
    Sequence: lambda value: list(value),
}
"""What an object is sent as that is of no listed type, but says that it behaves like one: such as
``UserDict``, transformers' ``BatchEncoding``, ``MappingProxyType``, ``range`` and ``deque``. The
first that fits counts."""

_reducers: dict[type, Reducer] = {
    **_BY_BASE,
    LogprobColumns: _logprob_columns,
    Record: lambda value: (RECORD, [value.name, value.fields]),
}
