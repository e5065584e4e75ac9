"""Objects of vLLM as plain values: maps, lists, texts and numbers.

Configurations are dataclasses in dataclasses. A client gets their fields, to read or to send back.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Mapping
from typing import Any

PLAIN = (bool, int, float, str, bytes, type(None), enum.Enum)

# No configuration of vLLM's is nested as deep.
MAX_DEPTH = 16


def plain(value: Any, *, changes: bool = False, depth: int = 0) -> Any:
    """Returns a value as plain data; what is none is its text.

    Args:
        value: The value.
        changes: Leave out the fields of objects that have their default.
        depth: How many containers are around it.
    """
    if isinstance(value, PLAIN) or hasattr(value, "__array__"):
        return value
    if depth == MAX_DEPTH:
        return repr(value)
    below = functools.partial(plain, changes=changes, depth=depth + 1)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [below(it) for it in value]
    if isinstance(value, Mapping):
        return {below(key): below(it) for key, it in value.items()}
    fields = public_fields(value)
    if fields is None:
        return repr(value)
    if changes:
        fields = changed(fields, value)
    return {name: below(it) for name, it in fields.items()}


def public_fields(value: Any) -> dict[str, Any] | None:
    """Returns the settable fields of a dataclass's or struct's object; None for any other."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [it.name for it in dataclasses.fields(value) if it.init]
    elif hasattr(type(value), "__struct_fields__"):
        names = list(type(value).__struct_fields__)
    else:
        return None
    return {name: getattr(value, name, None) for name in names if name[0] != "_"}


def changed(fields: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """Returns the fields that differ from those of an object that was given none."""
    try:
        default = type(value)()
    except Exception:  # it needs some: then all of them matter
        return dict(fields)
    return {name: it for name, it in fields.items() if differ(it, getattr(default, name, default))}


def differ(value: Any, other: Any) -> bool:
    """Whether two values differ; an array differs from all else."""
    try:
        return bool(value != other)
    except (TypeError, ValueError):
        return True
