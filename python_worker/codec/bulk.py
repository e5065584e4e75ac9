"""Whether an answer is so large that encoding it would hold up the event loop."""

from __future__ import annotations

from collections.abc import Mapping
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
        elif isinstance(part, _LISTS):
            found += len(part)
            pending += _containers(part, most - found)
        elif _bytes_of_part(part) >= BULKY_BYTES:
            found += BULKY_VALUES
    return min(found, most)


def _containers(parts: Any, most: int) -> list[object]:
    if most <= 0:
        return []
    return [part for part in parts if type(part) not in _SMALL]


_SMALL: Final = frozenset({int, float, bool, type(None)})


def _bytes_of_part(part: Any) -> int:
    if isinstance(part, (str, bytes, bytearray)):
        return len(part)
    size = getattr(part, "nbytes", 0)
    return size if type(size) is int else 0


def owned(parts: list[Buffer]) -> list[Buffer]:
    """Returns parts that nobody else can change, copied without holding up other threads."""
    return [part if isinstance(part, bytes) else bytes_of(part) for part in parts]
