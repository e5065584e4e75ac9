"""Whether an answer is so large that encoding it would hold up the event loop."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from python_worker.buffers import Buffer
from python_worker.codec.large_values import MAX_VALUES, bytes_of
from python_worker.exceptions import Unsupported

BULKY_VALUES: Final = 4096
BULKY_BYTES: Final = 1024 * 1024

_LISTS: Final = (list, tuple, set, frozenset)


def is_bulky(value: object) -> bool:
    """Whether a value is to be encoded in a thread. Looks at a few thousand parts at most."""
    if type(value) in _SMALL:
        return False
    return count(value, BULKY_VALUES) >= BULKY_VALUES


def check_values(value: object) -> None:
    """Refuses an answer that one call of the packer takes too long for.

    Raises:
        Unsupported: It holds too many values.
    """
    if count(value, MAX_VALUES + 1) > MAX_VALUES:
        raise Unsupported(
            f"the value holds more than {MAX_VALUES} values, which is the limit: ask for it in "
            "parts, or as a tensor",
            limit=MAX_VALUES,
        )


def count(value: object, most: int) -> int:
    """Returns how many values there are, at most ``most``; many bytes count as many values."""
    pending = [value]
    found = 0
    while pending and found < most:
        part = pending.pop()
        if isinstance(part, Mapping):
            found += len(part)
            pending += _containers(part.values(), most - found)
        elif isinstance(part, _LISTS) or is_sequence(part):
            found += length_of(part, most)
            pending += _containers(part, most - found)
        elif _bytes_of_part(part) >= BULKY_BYTES:
            found += BULKY_VALUES
    return min(found, most)


def is_sequence(value: object) -> bool:
    """Whether a value is sent as a list, and is none."""
    return isinstance(value, Sequence) and not isinstance(value, _OF_BYTES)


def length_of(parts: Any, most: int) -> int:
    """Returns how many parts there are; of more than Python can count, ``most``."""
    try:
        return len(parts)
    except OverflowError:  # of a range
        return most


def _containers(parts: Any, most: int) -> list[object]:
    if most <= 0 or isinstance(parts, range):
        return []
    return [part for part in parts if type(part) not in _SMALL]


_OF_BYTES: Final = (str, bytes, bytearray, memoryview, array.array)

_SMALL: Final = frozenset({int, float, bool, type(None)})


def _bytes_of_part(part: Any) -> int:
    if isinstance(part, (str, bytes, bytearray)):
        return len(part)
    size = getattr(part, "nbytes", 0)
    return size if type(size) is int else 0


def owned(parts: list[Buffer]) -> list[Buffer]:
    """Returns parts that nobody else can change, copied without holding up other threads."""
    return [part if isinstance(part, bytes) else bytes_of(part) for part in parts]
