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
    """The check of ``AsyncGenerator[...]``: only a stream fits."""
    wanted = describe(annotation)

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, InputStream):
            refuse(value, path, wanted)
        value.expect(element, path)
        return value

    return check


def check_element(cls: Any, bare: Check, checker: Callable[[Any], Check]) -> Check:
    """The check of one element, an object of ``cls``.

    What is no such object is its first field: a prompt needs no
    ``StreamingInput`` around it. And where vLLM's annotation of that field names
    only what its renderer makes, it takes every prompt that the method takes.

    Args:
        cls: The class of elements, a dataclass.
        bare: The check of its first field.
        checker: Gives the check of an annotation.
    """
    fields = fields_of(cls)
    if fields is None:
        return checker(cls)
    first, *others = fields
    hints = hints_of(cls)
    checks = {first: bare, **{name: checker(hints[name]) for name in others}}

    def check(value: Any, path: str) -> Any:
        given = _given(value, cls.__name__, others)
        if given is None:
            return cls(**{first: bare(value, path)})
        if unknown := given.keys() - checks.keys():
            raise InvalidArgument(
                f"{path}: {cls.__name__} has no field {min(map(repr, unknown))}", parameter=path
            )
        given = {first: None, **given}  # the struct's default is not sent
        return cls(**{name: checks[name](item, f"{path}.{name}") for name, item in given.items()})

    return check


def _given(value: Any, name: str, others: list[str]) -> dict[str, Any] | None:
    if isinstance(value, Record):
        return value.fields if value.name == name else None
    # A map in place of the struct; ``{"prompt": text}`` alone is a prompt.
    if isinstance(value, dict) and any(key in value for key in others):
        return value
    return None
