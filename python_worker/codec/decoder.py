"""Decodes MessagePack to values. The package's docstring holds the table of values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgpack

from python_worker.buffers import LARGE, Buffer
from python_worker.codec import extension_types as ext
from python_worker.codec import tensors
from python_worker.codec.extension_types import TENSOR
from python_worker.codec.large_arrays import split_tensor
from python_worker.codec.types import OpenStream, Record, Resolve
from python_worker.codec.value_paths import MAX_DEPTH
from python_worker.exceptions import DecodeError


def decode(
    data: Buffer, *, resolve: Resolve | None = None, stream: OpenStream | None = None
) -> object:
    """Returns the value of `data`. A struct of one of vLLM's classes becomes a `Record`.

    Args:
        data: One encoded value.
        resolve: Called with the incarnation and the id of each reference; returns the object.
            Without it a reference is an error. Its own exceptions pass through.
        stream: Called for each stream marker; returns the value to put in its place. Without it a
            stream marker is an error. Its own exceptions pass through.

    Raises:
        DecodeError: The bytes are not a value of the table.
    """
    decoder = _Decoder(resolve, stream)
    try:
        return decoder.unpack(data)
    except _CallbackError as wrapper:
        raise wrapper.error from None
    except DecodeError:
        raise
    except (RecursionError, msgpack.exceptions.StackError):
        raise DecodeError("containers are nested too deep") from None
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

_MAX_LEVELS: Final = MAX_DEPTH // 2
"""Nested extension types that are read at all: each needs some of Python's stack."""


class _Decoder:
    """Reads one value, and counts the nested extension types around the present one."""

    __slots__ = ("_depth", "_resolve", "_stream")

    def __init__(self, resolve: Resolve | None, stream: OpenStream | None) -> None:
        self._resolve = resolve
        self._stream = stream
        self._depth = 0

    def unpack(self, data: Buffer) -> Any:
        if self._depth < _UNPACKB_LEVELS:
            return msgpack.unpackb(
                data, ext_hook=self._extension, strict_map_key=False, timestamp=3
            )
        if self._depth > _MAX_LEVELS:
            raise DecodeError("containers are nested too deep")
        unpacker = msgpack.Unpacker(
            ext_hook=self._extension,
            strict_map_key=False,
            timestamp=3,
            max_buffer_size=max(len(data), 1),
        )
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != len(data):
            raise DecodeError("bytes follow the end of a value")
        return value

    def _extension(self, code: int, data: bytes) -> object:
        if (read_text := _TEXT_READERS.get(code)) is not None:
            return read_text(data)
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
    ext.SET: lambda _decoder, content: set(content),
    ext.TENSOR: lambda _decoder, content: tensors.to_array(*content),
    ext.REF: _Decoder.reference,
    ext.RECORD: _record,
    ext.LOGPROB: _logprob,
    ext.STREAM: _Decoder.stream,
}
"""Extension types whose content is an array. Enums, failures and patches go to Elixir only."""
