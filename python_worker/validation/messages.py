"""The text of the error that an argument raises: where it is, what it wants, what it got."""

from __future__ import annotations

import enum
import reprlib
import types
import typing
from typing import Annotated, Any, Literal, NoReturn, Union

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument

MAX_SHOWN_CHARS = 80

MAX_SHOWN_ITEMS = 8

MAX_DETAIL_CHARS = 1000

# A union tries a prompt with several members before one fits, and each failure makes a message.
# Messages with a thousand token ids would cost more time than all checks.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = MAX_SHOWN_CHARS
SHORT.maxlong = 40
SHORT.maxlist = SHORT.maxtuple = SHORT.maxset = SHORT.maxdict = 8
SHORT.maxlevel = 3


def refuse(value: object, path: str, wanted: str) -> NoReturn:
    """Raises the error of a value that does not fit.

    Args:
        value: The value as it came.
        path: Where it is, such as ``params.stop[1]``.
        wanted: What would fit, such as ``int | None``.

    Raises:
        InvalidArgument: Always.
    """
    if isinstance(value, Record):
        got = value.name
    elif value is None:
        got = "None"
    else:
        text = SHORT.repr(value)
        if len(text) > MAX_SHOWN_CHARS:
            text = text[:MAX_SHOWN_CHARS] + "…"
        got = f"{type(value).__name__} {text}"
    raise InvalidArgument(
        f"{path}: wants {wanted}, got {got}",
        parameter=path,
        wanted=wanted,
        got=got,
        value=shown(value),
    )


def shown(value: object) -> object:
    """Returns a value as an error's details have it: itself if it is plain and small, else text."""
    if value is None or isinstance(value, (bool, int, float, bytes, enum.Enum)):
        return value
    if isinstance(value, str):
        return value if len(value) <= MAX_DETAIL_CHARS else SHORT.repr(value)
    if isinstance(value, (list, tuple, dict)) and len(value) <= MAX_SHOWN_ITEMS:
        items = [*value, *value.values()] if isinstance(value, dict) else value
        if all(it is None or isinstance(it, (bool, int, float, str)) for it in items):
            return value
    return SHORT.repr(value)


def describe(annotation: Any) -> str:
    """Returns an annotation as it is written in source code, such as ``int | None``."""
    if annotation in (None, type(None)):
        return "None"
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " | ".join(describe(member) for member in typing.get_args(annotation))
    if typing.get_origin(annotation) is Annotated:
        return describe(typing.get_args(annotation)[0])
    members = typing.get_args(annotation)
    if typing.get_origin(annotation) is Literal:
        return " | ".join(repr(member) for member in members)
    if members:
        inside = ", ".join("..." if m is Ellipsis else describe(m) for m in members)
        return f"{_name(typing.get_origin(annotation))}[{inside}]"
    return _name(annotation)


def _name(annotation: Any) -> str:
    return getattr(annotation, "__name__", None) or str(annotation).replace("typing.", "")
