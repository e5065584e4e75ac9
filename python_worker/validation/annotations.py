"""Turns annotations into checks: functions from a value to the argument that a method gets.

A check raises ``InvalidArgument`` if the value does not fit its annotation. Unions and containers
are handled here, plain values in ``scalars``, classes in ``classes``.
"""

from __future__ import annotations

import collections.abc
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union

import typing_extensions

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.streaming.input_stream import InputStream
from python_worker.validation.classes import check_enum, check_record, check_typed_dict, fields_of
from python_worker.validation.messages import describe, refuse
from python_worker.validation.scalars import SCALARS, Check, anything
from python_worker.validation.sizes import types_of
from python_worker.validation.streams import check_element, check_stream
from python_worker.validation.type_hints import evaluate

SEQUENCES = (list, tuple, set, frozenset)

# The message that vLLM sends to EngineCore. Only vLLM can fill one in correctly.
BY_REFERENCE_ONLY = frozenset({"EngineCoreRequest"})


def checker(annotation: Any) -> Check:
    """Returns the check of an annotation. It is made once and cached."""
    try:
        return _checker(annotation)
    except TypeError:  # unhashable, such as Annotated with a list
        return _compile(annotation)


@cache
def _checker(annotation: Any) -> Check:
    return _compile(annotation)


def _compile(annotation: Any) -> Check:
    if annotation in SCALARS:
        return SCALARS[annotation]
    origin = typing.get_origin(annotation)
    if origin in ORIGINS:
        return ORIGINS[origin](annotation)
    if origin is not None and inspect.isclass(origin):
        return _container(origin, typing.get_args(annotation), annotation)
    if isinstance(annotation, typing.ForwardRef):
        return checker(evaluate(annotation, {}))
    if isinstance(annotation, TypeVar):
        return checker(annotation.__bound__ or Any)
    if hasattr(annotation, "__supertype__"):  # NewType
        return checker(annotation.__supertype__)
    if hasattr(annotation, "__value__"):  # type X = ...
        return checker(annotation.__value__)
    if inspect.isclass(annotation):
        return _class(annotation)
    return anything


def _union(annotation: Any) -> Check:
    members = typing.get_args(annotation)
    streams = [m for m in members if typing.get_origin(m) is collections.abc.AsyncGenerator]
    if streams:
        return _stream_or_value(streams[0], tuple(m for m in members if m not in streams))
    checks = [checker(member) for member in members]
    wanted = describe(annotation)
    # An int also fits float. If the union has both, it stays an int.
    by_type = dict(zip(members, checks, strict=True))

    def check_union(value: Any, path: str) -> Any:
        check_of_type = by_type.get(type(value))
        if check_of_type is not None:
            return check_of_type(value, path)
        errors: list[InvalidArgument] = []
        for check in checks:
            try:
                return check(value, path)
            except InvalidArgument as error:
                errors.append(error)
        helpful = _most_helpful(errors, value, path)
        if helpful is not None:
            raise helpful
        return refuse(value, path, wanted)

    return check_union


def _most_helpful(errors: list[InvalidArgument], value: Any, path: str) -> InvalidArgument | None:
    """The error of the member that the value was meant for; None if that cannot be told."""
    # A member that fits the value, but not a part of it, names the part. Best is one that also
    # says what it wants there, or whose class refuses it: another does not know the field at all.
    deeper = [error for error in errors if len(str(error.details.get("parameter", ""))) > len(path)]
    if deeper:
        return max(deeper, key=lambda it: "wanted" in it.details or it.__cause__ is not None)
    by_class = next((error for error in errors if error.__cause__ is not None), None)
    if by_class is not None:
        return by_class
    # A struct has the name of one class. The error of that class has no "wanted".
    if isinstance(value, Record):
        return next((error for error in errors if "wanted" not in error.details), None)
    return None


def _stream_or_value(stream: Any, members: tuple[Any, ...]) -> Check:
    """``Prompt | AsyncGenerator[Element, None]``: a value, or a stream of elements."""
    single = checker(Union[members])  # noqa: UP007 - made at run time
    element = check_element(typing.get_args(stream)[0], single, checker)
    streamed = check_stream(stream, element)

    def check_either(value: Any, path: str) -> Any:
        return (streamed if isinstance(value, InputStream) else single)(value, path)

    return check_either


def _literal(annotation: Any) -> Check:
    allowed = typing.get_args(annotation)
    wanted = "one of " + ", ".join(repr(value) for value in allowed)

    def check_literal(value: Any, path: str) -> Any:
        for choice in allowed:
            if type(choice) is type(value) and choice == value:
                return value
        return refuse(value, path, wanted)

    return check_literal


def _tuple(annotation: Any) -> Check:
    members = typing.get_args(annotation)
    if len(members) == 2 and members[1] is Ellipsis:
        return _sequence(tuple, members[0], annotation)
    checks = [checker(member) for member in members]

    def check_tuple(value: Any, path: str) -> tuple[Any, ...]:
        if not isinstance(value, (tuple, list)) or len(value) != len(checks):
            refuse(value, path, describe(annotation))
        return tuple(
            check(item, f"{path}[{index}]")
            for index, (check, item) in enumerate(zip(checks, value, strict=True))
        )

    return check_tuple


def _inner(annotation: Any) -> Check:
    return checker(typing.get_args(annotation)[0])


ORIGINS: Mapping[Any, Callable[[Any], Check]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: _literal,
    Annotated: _inner,
    tuple: _tuple,
    typing_extensions.Required: _inner,
    typing_extensions.NotRequired: _inner,
    typing.ClassVar: _inner,
}


def _container(origin: type, members: tuple[Any, ...], annotation: Any) -> Check:
    """``list[int]``, ``Mapping[str, str]`` and other generic containers."""
    if issubclass(origin, (collections.abc.Iterator, collections.abc.AsyncIterator)):
        return _instance(origin, describe(annotation))
    if issubclass(origin, collections.abc.Mapping):
        return _mapping(members, annotation)
    if issubclass(origin, collections.abc.Set):
        return _sequence(set, members[0], annotation)
    if issubclass(origin, collections.abc.Iterable) and len(members) == 1:
        return _sequence(list, members[0], annotation)
    return _instance(origin, describe(annotation))


def _sequence(container: type, member: Any, annotation: Any) -> Check:
    check = checker(member)
    wanted = describe(annotation)
    exact_type = {int: int, str: str}.get(member)

    def check_sequence(value: Any, path: str) -> Any:
        if not isinstance(value, SEQUENCES):
            refuse(value, path, wanted)
        # A prompt has thousands of token ids: check their types in one pass in C.
        if exact_type is not None and types_of(value) <= {exact_type}:
            return value if type(value) is container else container(value)
        return container(check(item, f"{path}[{index}]") for index, item in enumerate(value))

    return check_sequence


def _mapping(members: tuple[Any, ...], annotation: Any) -> Check:
    check_key, check_value = (checker(member) for member in members)
    wanted = describe(annotation)

    def check_mapping(value: Any, path: str) -> dict[Any, Any]:
        if not isinstance(value, dict):
            refuse(value, path, wanted)
        return {
            check_key(key, f"{path} key {key!r}"): check_value(item, f"{path}[{key!r}]")
            for key, item in value.items()
        }

    return check_mapping


def _class(cls: type) -> Check:
    if issubclass(cls, enum.Enum):
        return check_enum(cls)
    if cls.__name__ in BY_REFERENCE_ONLY:
        return _instance(cls, cls.__name__)
    if typing_extensions.is_typeddict(cls):
        return check_typed_dict(cls, checker)
    fields = fields_of(cls)
    if fields is not None:
        return check_record(cls, fields, checker)
    if cls in (dict, collections.abc.Mapping):
        return _mapping((Any, Any), cls)
    if cls in SEQUENCES:
        return _sequence(cls, Any, cls)
    return _instance(cls, describe(cls))


def _instance(cls: type, wanted: str) -> Check:
    def check_instance(value: Any, path: str) -> Any:
        return value if isinstance(value, cls) else refuse(value, path, wanted)

    return check_instance
