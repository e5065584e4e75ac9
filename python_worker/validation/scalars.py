"""Checks of plain values, one for each scalar annotation.

They are strict: neither a bool nor a float is an int, and NaN is not a float.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from python_worker.codec.types import Record
from python_worker.validation.messages import refuse
from python_worker.validation.sizes import types_of

Check = Callable[[Any, str], Any]
"""A function from a value and its path, such as ``params.stop[1]``, to the checked value."""


_MAY_HOLD_RECORDS = frozenset({Record, list, dict})


def without_records(value: Any) -> Any:
    """Returns the value with each record in it replaced by a map of its fields."""
    if isinstance(value, Record):
        return {name: without_records(item) for name, item in value.fields.items()}
    if type(value) is list:
        if _MAY_HOLD_RECORDS.isdisjoint(types_of(value)):
            return value
        return [without_records(item) for item in value]
    if type(value) is dict:
        return {key: without_records(item) for key, item in value.items()}
    return value


def anything(value: Any, path: str) -> Any:
    """Accepts any value; records become maps."""
    return without_records(value)


def _none(value: Any, path: str) -> None:
    if value is not None:
        refuse(value, path, "None")


def _bool(value: Any, path: str) -> bool:
    return value if type(value) is bool else refuse(value, path, "bool")


def _int(value: Any, path: str) -> int:
    if type(value) is not int:
        refuse(value, path, "int")
    # vLLM sends it on to EngineCore as MessagePack, which has no larger integers.
    if not -(2**63) <= value < 2**64:
        refuse(value, path, "an int of at most 64 bits")
    return value


def _float(value: Any, path: str) -> float:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            refuse(value, path, "float")
    if type(value) is not float:
        refuse(value, path, "float")
    # No parameter of vLLM has a use for NaN, and it passes range checks, as it compares false to
    # everything. Infinity is useful: it bans or forces tokens.
    if math.isnan(value):
        refuse(value, path, "a float that is a number")
    return value


def _str(value: Any, path: str) -> str:
    return value if isinstance(value, str) else refuse(value, path, "str")


def _bytes(value: Any, path: str) -> bytes:
    return value if isinstance(value, bytes) else refuse(value, path, "bytes")


SCALARS: Mapping[Any, Check] = {
    Any: anything,
    object: anything,
    inspect.Parameter.empty: anything,
    None: _none,
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
}
