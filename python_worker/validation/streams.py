"""Checks of arguments that are streams of elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.streaming.input_stream import InputStream
from python_worker.validation.classes import fields_of
from python_worker.validation.messages import describe, refuse
from python_worker.validation.scalars import Check
from python_worker.validation.type_hints import hints_of


def check_stream(annotation: Any, element: Check) -> Check:
    """Returns the check of ``AsyncGenerator[...]``: only a stream fits."""
    wanted = describe(annotation)

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, InputStream):
            refuse(value, path, wanted)
        value.expect(element, path)
        return value

    return check


def check_element(cls: Any, first_field: Check, checker: Callable[[Any], Check]) -> Check:
    """Returns the check of one element of a stream, an object of ``cls``.

    A value that is not such an object is taken for its first field: a prompt needs no
    ``StreamingInput`` around it. That field takes every prompt that the method takes, although
    vLLM's annotation names only what vLLM's renderer makes.

    Args:
        cls: The class of the elements, a dataclass.
        first_field: The check of its first field.
        checker: Returns the check of an annotation.
    """
    fields = fields_of(cls)
    if fields is None:
        return checker(cls)
    first, *others = fields
    hints = hints_of(cls)
    checks = {first: first_field, **{name: checker(hints[name]) for name in others}}

    def check(value: Any, path: str) -> Any:
        given = _fields_given(value, cls.__name__, others)
        if given is None:
            return cls(**{first: first_field(value, path)})
        if unknown := given.keys() - checks.keys():
            raise InvalidArgument(
                f"{path}: {cls.__name__} has no field {min(map(repr, unknown))}", parameter=path
            )
        given = {first: None, **given}  # a field with the struct's default is not sent
        return cls(**{name: checks[name](item, f"{path}.{name}") for name, item in given.items()})

    return check


def _fields_given(value: Any, name: str, others: list[str]) -> dict[str, Any] | None:
    if isinstance(value, Record):
        return value.fields if value.name == name else None
    # A map with other fields of the class is an element; ``{"prompt": text}`` alone is a prompt.
    if isinstance(value, dict) and any(key in value for key in others):
        return value
    return None
