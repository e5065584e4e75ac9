"""Decodes large values in pieces, so that no other thread waits for long.

One call of the unpacker holds the interpreter's lock until it returns: 60 MB of integers are 0.5 s
in which the event loop stands still, wherever the call runs. So a large value is read here, in a
thread, piece by piece. Containers that do not fit into a piece are walked in Python; what they hold
is given to the unpacker, as many items at a time as fit into a piece. The bytes of large arrays,
texts and binaries are read in place, without a copy in between.

The values are counted: each byte of a message may become an object of 64 bytes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple, Protocol

import msgpack

from python_worker.codec.depth import MAX_DEPTH
from python_worker.exceptions import DecodeError, LimitExceeded

MAX_VALUES: Final = 1_200_000
"""How many values the arguments of a call may hold together, beside those in tensors. Enough for
the token ids of the longest contexts. To free so many objects takes 30 ms, which cannot be
interrupted."""

MAX_NAMES: Final = 1024
"""How many arguments by name a call may have."""

MAX_TEXT_BYTES: Final = 64 * 1024 * 1024
"""How long a text may be. Its copy cannot be interrupted."""

PIECE: Final = 64 * 1024
"""How many bytes the unpacker is given at once: 1 to 5 ms."""

_FIRST_ITEMS: Final = 1024
_MOST_ITEMS: Final = 16 * 1024

_SHORT_KEY: Final = 64

_COPIED: Final = 1024 * 1024


class _Head(NamedTuple):
    """The first bytes of a text, a binary, a container or an extension type.

    Attributes:
        kind: One of "array", "map", "text", "bytes", "extension".
        size: Items, pairs or bytes.
        start: Where the content begins.
        code: Of an extension type.
    """

    kind: str
    size: int
    start: int
    code: int = 0


# By the first byte: the kind, and how many bytes the size has.
_SIZED: Final[Mapping[int, tuple[str, int]]] = {
    0xC4: ("bytes", 1),
    0xC5: ("bytes", 2),
    0xC6: ("bytes", 4),
    0xC7: ("extension", 1),
    0xC8: ("extension", 2),
    0xC9: ("extension", 4),
    0xD9: ("text", 1),
    0xDA: ("text", 2),
    0xDB: ("text", 4),
    0xDC: ("array", 2),
    0xDD: ("array", 4),
    0xDE: ("map", 2),
    0xDF: ("map", 4),
}
# By the first byte of an extension type of fixed size: how many bytes it has.
_FIXED_EXTENSIONS: Final = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}


class ReadExtension(Protocol):
    """Reads an extension type."""

    def __call__(self, code: int, data: Any) -> object:
        """Returns the value of its content."""


class ValueCount:
    """Counts the values of one call's arguments."""

    def __init__(self) -> None:
        self.values = 0

    def add(self, values: int) -> None:
        """Counts so many more.

        Raises:
            LimitExceeded: There are too many now.
        """
        self.values += values
        if self.values > MAX_VALUES:
            raise LimitExceeded(
                f"the arguments hold more than {MAX_VALUES} values, which is the limit: send "
                "numbers as a tensor, or the work in several calls",
                limit=MAX_VALUES,
            )

    def counted(self, container: Any) -> Any:
        """Counts what a container holds, and returns it. A pair of a map is two values."""
        self.add(len(container) * (2 if type(container) is dict else 1))
        return container


class PieceReader:
    """Reads one large value.

    Args:
        data: Its bytes.
        extension: Reads an extension type.
        count: Counts the values.
        deferred: Codes of extension types that must be read only once, so not on trial.
    """

    def __init__(
        self,
        data: memoryview,
        extension: ReadExtension,
        count: ValueCount,
        deferred: frozenset[int],
    ) -> None:
        self._data = data
        self._extension = extension
        self._count = count
        self._deferred = deferred
        self._depth = 0

    def read(self) -> object:
        """Returns the value."""
        # What is longer than a piece is not tried as one: a trial in vain costs as much as a piece.
        value, end = self._item(0) if len(self._data) <= PIECE else self._large(0)
        if end != len(self._data):
            raise DecodeError("bytes follow the end of a value")
        return value

    def _item(self, place: int) -> tuple[Any, int]:
        """Returns the value at a place, and where it ends."""
        if (found := self._several(b"\xdd", place, 1)) is not None:
            (value,), end = found
            return value, end
        return self._large(place)

    def _large(self, place: int) -> tuple[Any, int]:
        """Returns a value that is larger than a piece, or has to be read with care."""
        head = head_at(self._data, place)
        if head.kind in ("array", "map"):
            return self._container(head)
        end = head.start + head.size
        content = self._data[head.start : end]
        if len(content) < head.size:
            raise DecodeError("a value ends too early")
        if head.kind == "extension":
            return self._extension(head.code, content), end
        return (text_of(content) if head.kind == "text" else bytes_of(content)), end

    def _container(self, head: _Head) -> tuple[Any, int]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise msgpack.exceptions.StackError
        size = head.size if head.kind == "array" else 2 * head.size
        if size > MAX_VALUES:
            self._count.add(size)  # raises
        read = self._array if head.kind == "array" else self._map
        value, end = read(head)
        self._depth -= 1
        return value, end

    def _array(self, head: _Head) -> tuple[list[Any], int]:
        items: list[Any] = []
        end = head.start
        for piece, place in self._pieces(b"\xdd", head, self._one_item):
            items += piece
            end = place
        return items, end

    def _map(self, head: _Head) -> tuple[dict[Any, Any], int]:
        items: dict[Any, Any] = {}
        end = head.start
        for piece, place in self._pieces(b"\xdf", head, self._one_pair):
            items.update(piece)
            end = place
        return items, end

    def _one_item(self, place: int) -> tuple[Any, int]:
        value, end = self._large(place)
        self._count.add(1)
        return [value], end

    def _one_pair(self, place: int) -> tuple[Any, int]:
        if (found := self._several(b"\xdd", place, 1)) is None:
            # The key is long, or is read only once: that says nothing of the value.
            key, start = self._large(place)
            value, end = self._item(start)
        else:
            (key,), start = found
            # Both did not fit into a piece. So behind a short key the value alone does not.
            value, end = self._large(start) if start - place < _SHORT_KEY else self._item(start)
        self._count.add(2)
        return {key: value}, end

    def _pieces(
        self, head_byte: bytes, head: _Head, one: Callable[[int], tuple[Any, int]]
    ) -> Iterator[tuple[Any, int]]:
        """Yields the items in containers of several, each with the place where it ends."""
        missing, place, at_once = head.size, head.start, _FIRST_ITEMS
        while missing:
            at_once = min(at_once, missing)
            found = self._several(head_byte, place, at_once)
            if found is None and at_once > 1:
                at_once = at_once // 8 or 1
                continue
            piece, place = found or one(place)
            missing -= at_once
            yield piece, place
            at_once = min(2 * at_once, _MOST_ITEMS)

    def _several(self, head_byte: bytes, place: int, count: int) -> tuple[Any, int] | None:
        """Returns so many items, and where they end; None if a piece does not hold them."""
        before = self._count.values
        unpacker = msgpack.Unpacker(
            ext_hook=self._on_trial,
            list_hook=self._count.counted,
            object_hook=self._count.counted,
            strict_map_key=False,
            timestamp=3,
            max_buffer_size=PIECE + 8,
        )
        unpacker.feed(head_byte + count.to_bytes(4, "big"))
        unpacker.feed(self._data[place : place + PIECE])
        try:
            items = unpacker.unpack()
        except (msgpack.exceptions.OutOfData, _NotOnTrial):
            self._count.values = before
            return None
        except ValueError as error:
            if "exceeds max_" not in str(error):
                raise
            self._count.values = before  # it announces more than a piece can hold
            return None
        return items, place + unpacker.tell() - 5

    def _on_trial(self, code: int, data: bytes) -> object:
        if code in self._deferred:
            raise _NotOnTrial
        return self._extension(code, data)


class _NotOnTrial(Exception):
    """A piece holds what must be read only once, and may have to be read again."""


def head_at(data: memoryview, place: int) -> _Head:
    """Returns the head of a value that is not a number.

    Raises:
        DecodeError: There is none, or it is cut off.
    """
    first = data[place] if place < len(data) else 0xC1
    if 0x80 <= first < 0x90:
        return _Head("map", first & 0x0F, place + 1)
    if 0x90 <= first < 0xA0:
        return _Head("array", first & 0x0F, place + 1)
    if 0xA0 <= first < 0xC0:
        return _Head("text", first & 0x1F, place + 1)
    if first in _FIXED_EXTENSIONS and place + 1 < len(data):
        return _Head("extension", _FIXED_EXTENSIONS[first], place + 2, _signed(data[place + 1]))
    kind, width = _SIZED.get(first, ("", 0))
    start = place + 1 + width
    if not kind or start >= len(data) + (kind != "extension"):
        raise DecodeError("a value ends too early, or is none of MessagePack")
    size = int.from_bytes(data[place + 1 : start])
    if kind == "extension":
        return _Head(kind, size, start + 1, _signed(data[start]))
    return _Head(kind, size, start)


def check_names(data: memoryview) -> None:
    """Refuses arguments by name of which there are more than any method has.

    Args:
        data: A map, encoded, of which only the head is read.

    Raises:
        LimitExceeded: There are too many.
    """
    head = head_at(data, 0) if len(data) > 0 and data[0] in (0xDE, 0xDF) else None
    if head is not None and head.size > MAX_NAMES:
        raise LimitExceeded(
            f"kwargs: {head.size} arguments by name came; the limit is {MAX_NAMES}",
            limit=MAX_NAMES,
        )


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


def text_of(data: memoryview) -> str:
    """Decodes a large text.

    Raises:
        LimitExceeded: It is too long.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise LimitExceeded(
            f"a text of {len(data)} bytes came; the limit is {MAX_TEXT_BYTES}",
            limit=MAX_TEXT_BYTES,
        )
    decoder = codecs.getincrementaldecoder("utf-8")()
    parts = [decoder.decode(piece) for piece in _slices(data)]
    return "".join([*parts, decoder.decode(b"", final=True)])


def bytes_of(data: memoryview) -> bytes:
    """Copies large bytes: ``join`` lets other threads run meanwhile, a copy of a view does not."""
    return b"".join([bytes(piece) for piece in _slices(data)])


def _slices(data: memoryview) -> Iterator[memoryview]:
    return (data[start : start + _COPIED] for start in range(0, len(data), _COPIED))
