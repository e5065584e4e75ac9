"""Decodes MessagePack to values. The package's docstring holds the table of values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgpack

from python_worker.buffers import LARGE, Buffer
from python_worker.codec import extension_types as ext
from python_worker.codec import tensors
from python_worker.codec.depth import MAX_DEPTH, STEP, TOO_DEEP, check_depth
from python_worker.codec.extension_types import TENSOR
from python_worker.codec.large_arrays import split_tensor
from python_worker.codec.large_values import PieceReader, ValueCount
from python_worker.codec.types import OpenStream, Record, Resolve
from python_worker.exceptions import DecodeError, LimitExceeded


def decode(
    data: Buffer,
    *,
    resolve: Resolve | None = None,
    stream: OpenStream | None = None,
    root: str = "value",
    count: ValueCount | None = None,
) -> object:
    """Returns the value of `data`. A struct of one of vLLM's classes becomes a `Record`.

    Args:
        data: One encoded value.
        resolve: Called with the incarnation and the id of each reference; returns the object.
            Without it a reference is an error. Its own exceptions pass through.
        stream: Called for each stream marker; returns the value to put in its place. Without it a
            stream marker is an error. Its own exceptions pass through.
        root: What the value is, for errors.
        count: Counts the values of several that belong together, of which one may be large.

    Raises:
        DecodeError: The bytes are not a value of the table.
        LimitExceeded: The value is nested too deep, or holds too many values.
    """
    decoder = _Decoder(resolve, stream, count)
    try:
        value = decoder.unpack(data)
        if len(data) > MAX_DEPTH:  # each level takes a byte at least
            check_depth(value, root)
        return value
    except _CallbackError as wrapper:
        raise wrapper.error from None
    except DecodeError:
        raise
    except msgpack.exceptions.StackError:
        raise LimitExceeded(f"{root}: {TOO_DEEP}", parameter=root, limit=MAX_DEPTH) from None
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        # ValueError covers truncated input, trailing bytes, and text that is not UTF-8.
        raise DecodeError(f"not a value of the bridge: {error}") from None


class _CallbackError(Exception):
    """Wraps an exception of `resolve` or `stream`, so that it is not taken for malformed input."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_UNPACKB_LEVELS: Final = 16
"""Nested extension types that `unpackb` reads. It needs 40 KB of C stack for each: 200 levels
overflow it. Deeper levels are read by `Unpacker`, which is slower but uses the heap."""

_MAX_LEVELS: Final = MAX_DEPTH
"""Nested extension types that are read at all: each needs some of Python's stack."""


class _Decoder:
    """Reads one value, and counts the nested extension types around the present one."""

    __slots__ = ("_count", "_depth", "_hooks", "_resolve", "_stream")

    def __init__(
        self, resolve: Resolve | None, stream: OpenStream | None, count: ValueCount | None
    ) -> None:
        self._resolve = resolve
        self._stream = stream
        self._depth = 0
        self._count = count
        # A small value cannot hold too many values; within a large one all are counted.
        self._hooks: dict[str, Callable[[Any], Any]] = {}

    def unpack(self, data: Buffer) -> Any:
        if len(data) >= LARGE:
            count = self._count = self._count or ValueCount()
            self._hooks = {"list_hook": count.counted, "object_hook": count.counted}
            reader = PieceReader(memoryview(data), self._extension, count, _READ_ONCE)
            return reader.read()
        if self._depth < _UNPACKB_LEVELS:
            return msgpack.unpackb(
                data, ext_hook=self._extension, strict_map_key=False, timestamp=3, **self._hooks
            )
        if self._depth > _MAX_LEVELS:
            raise msgpack.exceptions.StackError
        unpacker = msgpack.Unpacker(
            ext_hook=self._extension,
            strict_map_key=False,
            timestamp=3,
            max_buffer_size=max(len(data), 1),
            **self._hooks,
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise DecodeError("bytes follow the end of a value")
        return value

    def _extension(self, code: int, data: Buffer) -> object:
        if (read_text := _TEXT_READERS.get(code)) is not None:
            if len(data) >= LARGE:
                raise DecodeError(f"extension type {code} of {len(data)} bytes; that is too many")
            return read_text(bytes(data))
        reader = _ARRAY_READERS.get(code)
        if reader is None:
            raise DecodeError(f"extension type {code} is unknown, or is only sent by a worker")
        self._depth += 1
        try:
            large = code == TENSOR and len(data) >= LARGE
            content = (large and split_tensor(data)) or self.unpack(data)
        finally:
            self._depth -= 1
        if type(content) is not list:
            raise DecodeError(f"the content of extension type {code} is not an array")
        return reader(self, content)

    def reference(self, content: list[Any]) -> object:
        incarnation, identity, kind = content
        if not (isinstance(incarnation, str) and isinstance(identity, str) and type(kind) is str):
            raise DecodeError("the parts of a reference are not all text")
        if self._resolve is None:
            raise DecodeError("a reference cannot be used here")
        try:
            return self._resolve(incarnation, identity)
        except Exception as error:
            raise _CallbackError(error) from error

    def stream(self, content: list[Any]) -> object:
        if content:
            raise DecodeError("a stream marker is not empty")
        if self._stream is None:
            raise DecodeError("a stream cannot be used here")
        try:
            return self._stream()
        except Exception as error:
            raise _CallbackError(error) from error


def _record(_decoder: _Decoder, content: list[Any]) -> Record:
    name, fields = content
    if not (
        isinstance(name, str)
        and isinstance(fields, dict)
        and all(isinstance(key, str) for key in fields)
    ):
        raise DecodeError("a struct is not a name and a map of fields")
    return Record(name, fields)


def _logprob(_decoder: _Decoder, content: list[Any]) -> Record:
    logprob, rank, decoded_token = content
    return Record("Logprob", {"logprob": logprob, "rank": rank, "decoded_token": decoded_token})


def _set(content: list[Any]) -> set[Any]:
    members: set[Any] = set()
    for start in range(0, len(content), STEP):
        members.update(content[start : start + STEP])
    return members


def _datetime(data: bytes, *, aware: bool) -> dt.datetime:
    value = dt.datetime.fromisoformat(data.decode())
    if (value.tzinfo is not None) != aware:
        raise DecodeError("an aware datetime has no UTC offset, or a naive one has one")
    return value


def _time(data: bytes) -> dt.time:
    value = dt.time.fromisoformat(data.decode())
    if value.tzinfo is not None:
        raise DecodeError("a time of day has a time zone")
    return value


_TEXT_READERS: Final[dict[int, Callable[[bytes], object]]] = {
    ext.BIGINT: lambda data: int.from_bytes(data, "big", signed=True),
    ext.DATETIME: lambda data: _datetime(data, aware=True),
    ext.NAIVE_DATETIME: lambda data: _datetime(data, aware=False),
    ext.DATE: lambda data: dt.date.fromisoformat(data.decode()),
    ext.TIME: _time,
}
"""Extension types whose content is not itself MessagePack."""

_ARRAY_READERS: Final[dict[int, Callable[[_Decoder, list[Any]], object]]] = {
    ext.TUPLE: lambda _decoder, content: tuple(content),
    ext.SET: lambda _decoder, content: _set(content),
    ext.TENSOR: lambda _decoder, content: tensors.to_array(*content),
    ext.REF: _Decoder.reference,
    ext.RECORD: _record,
    ext.LOGPROB: _logprob,
    ext.STREAM: _Decoder.stream,
}
"""Extension types whose content is an array. Enums, failures and patches go to Elixir only."""

_READ_ONCE: Final = frozenset({ext.STREAM})
"""Extension types whose reading does something."""
