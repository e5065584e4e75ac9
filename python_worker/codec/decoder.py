"""MessagePack to values; the table of values is in the package's docstring."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, Final

import msgpack

from python_worker.buffers import LARGE, Buffer
from python_worker.codec import reducers, tensors
from python_worker.codec.reducers import TENSOR
from python_worker.codec.types import OpenStream, Record, Resolve
from python_worker.codec.value_paths import MAX_DEPTH
from python_worker.exceptions import DecodeError


def decode(
    data: Buffer, *, resolve: Resolve | None = None, stream: OpenStream | None = None
) -> object:
    """Returns the value of `data`. Structs of vLLM's classes come as `Record`.

    Args:
        data: One encoded value.
        resolve: Called with the incarnation and the id of every reference; returns the object.
            What it raises passes through. Without it a reference is an error.
        stream: Called for every mark of a stream; returns what stands in its place. What it raises
            passes through. Without it the mark is an error.

    Raises:
        DecodeError: The bytes are not a value of the table.
    """
    decoder = _Decoder(resolve, stream)
    try:
        return decoder.unpack(data)
    except _CallerFailed as failed:
        raise failed.error from None
    except DecodeError:
        raise
    except (RecursionError, msgpack.exceptions.StackError):
        raise DecodeError("containers are nested too deep") from None
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        # ValueError covers truncated input, trailing bytes, and text that is not UTF-8.
        raise DecodeError(f"not a value of the bridge: {error}") from None


class _CallerFailed(Exception):
    """Carries an error of `resolve` or `stream` past the handlers of malformed input."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


_STACK_LEVELS: Final = 16
"""Extension types inside one another that `unpackb` reads. It keeps 40 KB on the C stack for
each: 200 levels end the process. Beyond these, slower unpackers on the heap take over."""

_MAX_LEVELS: Final = MAX_DEPTH // 2
"""Extension types inside one another that are read at all; each needs some of Python's stack."""


class _Decoder:
    """Reads one value; remembers how deep it is in extension types."""

    __slots__ = ("_depth", "_resolve", "_stream")

    def __init__(self, resolve: Resolve | None, stream: OpenStream | None) -> None:
        self._resolve = resolve
        self._stream = stream
        self._depth = 0

    def unpack(self, data: Buffer) -> Any:
        if self._depth < _STACK_LEVELS:
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
            raise DecodeError(f"extension type {code} is not one that a worker reads")
        self._depth += 1
        try:
            large = code == TENSOR and len(data) >= LARGE
            content = (large and reducers.split_tensor(data)) or self.unpack(data)
        finally:
            self._depth -= 1
        if type(content) is not list:
            raise DecodeError(f"the content of extension type {code} is not an array")
        return reader(self, content)

    def reference(self, content: list[Any]) -> object:
        incarnation, identity, kind = content
        if not (isinstance(incarnation, str) and isinstance(identity, str) and type(kind) is str):
            raise DecodeError("a reference is not made of text")
        if self._resolve is None:
            raise DecodeError("a reference cannot be used here")
        try:
            return self._resolve(incarnation, identity)
        except Exception as error:
            raise _CallerFailed(error) from error

    def stream(self, content: list[Any]) -> object:
        if content:
            raise DecodeError("the mark of a stream holds something")
        if self._stream is None:
            raise DecodeError("a stream cannot be used here")
        try:
            return self._stream()
        except Exception as error:
            raise _CallerFailed(error) from error


def _record(_decoder: _Decoder, content: list[Any]) -> Record:
    name, fields = content
    if not (
        isinstance(name, str)
        and isinstance(fields, dict)
        and all(isinstance(key, str) for key in fields)
    ):
        raise DecodeError("a struct is not a name and fields")
    return Record(name, fields)


def _logprob(_decoder: _Decoder, content: list[Any]) -> Record:
    logprob, rank, decoded_token = content
    return Record("Logprob", {"logprob": logprob, "rank": rank, "decoded_token": decoded_token})


def _datetime(data: bytes, *, aware: bool) -> dt.datetime:
    value = dt.datetime.fromisoformat(data.decode())
    if (value.tzinfo is not None) != aware:
        raise DecodeError("a datetime has an offset where none belongs, or lacks one")
    return value


def _time(data: bytes) -> dt.time:
    value = dt.time.fromisoformat(data.decode())
    if value.tzinfo is not None:
        raise DecodeError("a time of day has a time zone")
    return value


_TEXT_READERS: Final[dict[int, Callable[[bytes], object]]] = {
    reducers.BIGINT: lambda data: int.from_bytes(data, "big", signed=True),
    reducers.DATETIME: lambda data: _datetime(data, aware=True),
    reducers.NAIVE: lambda data: _datetime(data, aware=False),
    reducers.DATE: lambda data: dt.date.fromisoformat(data.decode()),
    reducers.TIME: _time,
}
"""Extension types whose content is not itself MessagePack."""

_ARRAY_READERS: Final[dict[int, Callable[[_Decoder, list[Any]], object]]] = {
    reducers.TUPLE: lambda _decoder, content: tuple(content),
    reducers.SET: lambda _decoder, content: set(content),
    reducers.TENSOR: lambda _decoder, content: tensors.to_array(*content),
    reducers.REF: _Decoder.reference,
    reducers.RECORD: _record,
    reducers.LOGPROB: _logprob,
    reducers.STREAM: _Decoder.stream,
}
"""Extension types whose content is an array. Enums, failures and patches only go to Elixir."""
