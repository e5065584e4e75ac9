"""Finds the part of a value that cannot be encoded, and its path.

The encoder is fast because it tracks neither path nor depth. When it fails, the value is walked
here, slowly and without recursion.
"""

from __future__ import annotations

import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from python_worker.codec.depth import MAX_DEPTH, TOO_DEEP, shorten
from python_worker.codec.extension_types import RECORD
from python_worker.codec.records import record_of
from python_worker.codec.reducers import (
    AS_EXCEPTION,
    AS_REFERENCE,
    NATIVE,
    NotEncodable,
    reducer_for,
)
from python_worker.exceptions import EncodeError


class Problem(NamedTuple):
    """Why a value cannot be encoded, and the path of the part that cannot."""

    path: str
    message: str


class _Frame(NamedTuple):
    """A container whose children are being visited."""

    path: str
    identity: int
    depth: int
    children: Iterator[tuple[str, object]]


def find_problem(value: object, *, references: bool, exceptions: bool) -> Problem | None:
    """Returns the first part of `value` that cannot be encoded, or None.

    Args:
        value: A value that the encoder failed to encode.
        references: Whether objects may be sent as references.
        exceptions: Whether exceptions may be sent as values.
    """
    frames: list[_Frame] = []
    ancestors: set[int] = set()
    frames.append(_Frame("", 0, 0, iter([("value", value)])))
    while frames:
        entry = next(frames[-1].children, None)
        if entry is None:
            ancestors.discard(frames.pop().identity)
            continue
        path, child = entry
        try:
            children = _children(path, child, references=references, exceptions=exceptions)
        except NotEncodable as error:
            return Problem(shorten(path), str(error))
        if children is None:
            continue
        kind = type(child).__name__
        if id(child) in ancestors:
            return Problem(shorten(path), f"a {kind} that contains itself cannot be sent")
        depth = frames[-1].depth + 1
        if depth > MAX_DEPTH:
            return Problem(shorten(path), f"a {kind} cannot be sent: {TOO_DEEP}")
        ancestors.add(id(child))
        frames.append(_Frame(path, id(child), depth, children))
    return None


def check_answer(value: object) -> None:
    """Refuses a value that is nested too deep to be sent. Walks it without recursion.

    The packer has a limit of its own, for lists and dicts only, which is higher.

    Raises:
        EncodeError: It names the limit and the first part that is beyond it.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = (part for container in level for part in _containers_in(container))
        level = list({id(part): part for part in inner}.values())  # many may be the same
        if not level:
            return
    problem = find_problem(value, references=True, exceptions=True)
    if problem is not None:
        raise EncodeError(problem.path, problem.message)


# Sequences too, to Python: each byte would be looked at.
_WITHOUT_PARTS: Final = (str, bytes, bytearray, memoryview, array.array, range)


def _containers_in(value: Any) -> list[object]:
    """Returns the parts of a value that may have parts themselves."""
    if isinstance(value, Mapping):
        parts: Collection[object] = [*_not_scalar(value.keys()), *_not_scalar(value.values())]
    elif isinstance(value, _WITHOUT_PARTS):
        return []
    elif isinstance(value, (list, tuple, set, frozenset, Sequence)):
        parts = _not_scalar(value)
    elif (record := record_of(type(value))) is not None:
        parts = _not_scalar([getattr(value, name, None) for name in record[1]])
    else:
        return []
    return list(parts)


def _not_scalar(parts: Collection[object]) -> list[object]:
    # In C, for lists of numbers and texts.
    if _SCALARS.issuperset(map(type, parts)):
        return []
    return [part for part in parts if type(part) not in _SCALARS]


_SCALARS: Final = frozenset({str, int, float, bool, bytes, type(None)})


def _children(
    path: str, value: object, *, references: bool, exceptions: bool
) -> Iterator[tuple[str, object]] | None:
    """Returns the parts of a container with their paths; None if it is not a container."""
    record = False
    while type(value) not in NATIVE or (type(value) is int and not _fits_64_bits(value)):
        reduced = reducer_for(type(value))(value)
        if reduced is AS_REFERENCE:
            if not references:
                raise NotEncodable(f"an object of {type(value).__name__} cannot be sent as a value")
            return None
        if reduced is AS_EXCEPTION:
            if not exceptions:
                raise NotEncodable(
                    f"an exception ({type(value).__name__}) cannot be sent as a value"
                )
            return None
        if type(reduced) is tuple:
            code, value = reduced
            record = code == RECORD
            break
        value = reduced
    if record:
        assert isinstance(value, list)
        return ((f"{path}.{name}", part) for name, part in value[1].items())
    if isinstance(value, list):
        return ((f"{path}[{index}]", part) for index, part in enumerate(value))
    if isinstance(value, dict):
        return _dict_children(path, value)
    if isinstance(value, memoryview) and not value.c_contiguous:
        raise NotEncodable("a memoryview that is not contiguous cannot be sent: send bytes(view)")
    if isinstance(value, (str, bytes, bytearray, memoryview)) and len(value) >= 2**32:
        raise NotEncodable(f"a {type(value).__name__} of 4 GiB or more cannot be sent")
    return None


def _dict_children(path: str, value: dict[object, object]) -> Iterator[tuple[str, object]]:
    for key, part in value.items():
        # A key of another type is shown by its type: its `repr` could be code of anybody.
        shown = repr(key)[:80] if type(key) in _SHOWN else f"<{type(key).__name__}>"
        yield f"{path} key {shown}", key
        yield f"{path}[{shown}]", part


_SHOWN: Final = frozenset({str, int, float, bool, bytes, type(None)})


def _fits_64_bits(value: int) -> bool:
    return -(2**63) <= value < 2**64
