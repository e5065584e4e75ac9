"""The words of a refusal: where a value was, what it is and what it should be."""

from __future__ import annotations

import reprlib
import types
import typing
from typing import Annotated, Any, Literal, NoReturn, Union

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument

MAX_SHOWN_CHARS = 80

# A union refuses a prompt several times before it finds the member that takes
# it: writing out a thousand token ids each time cost more than all checks.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = MAX_SHOWN_CHARS
SHORT.maxlong = 40
SHORT.maxlist = SHORT.maxtuple = SHORT.maxset = SHORT.maxdict = 8
SHORT.maxlevel = 3


def refuse(value: object, path: str, wanted: str) -> NoReturn:
    """Refuse a value, saying where it was, what it is and what it should be."""
    if isinstance(value, Record):
        got = value.name
    elif value is None:
        got = "None"
    else:
        shown = SHORT.repr(value)
        if len(shown) > MAX_SHOWN_CHARS:
            shown = shown[:MAX_SHOWN_CHARS] + "…"
        got = f"{type(value).__name__} {shown}"
    raise InvalidArgument(
        f"{path}: wants {wanted}, got {got}", parameter=path, wanted=wanted, got=got
    )


def describe(annotation: Any) -> str:
    """An annotation as its reader would write it: ``int | None``."""
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
