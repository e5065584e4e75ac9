"""Annotations as checks: each becomes a function from a value to what a method wants.

A check refuses what does not fit its annotation. Here are unions and containers;
plain values are checked by ``scalars``, classes by ``classes``.
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
from python_worker.validation.streams import check_element, check_stream
from python_worker.validation.type_hints import evaluate

SEQUENCES = (list, tuple, set, frozenset)

# vLLM's own message to EngineCore. Nobody should fill one in by hand.
BY_REFERENCE_ONLY = frozenset({"EngineCoreRequest"})


def checker(annotation: Any) -> Check:
    """The check of one annotation, compiled once."""
    try:
        return _checker(annotation)
    except TypeError:  # unhashable, as Literal[[...]] or Annotated with a list
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
        return _streamed_or_whole(streams[0], tuple(m for m in members if m not in streams))
    checks = [checker(member) for member in members]
    wanted = describe(annotation)
    # An int fits float as well: where both are allowed, it stays an int.
    exact = dict(zip(members, checks, strict=True))

    def check_union(value: Any, path: str) -> Any:
        same = exact.get(type(value))
        if same is not None:
            return same(value, path)
        refusals: list[InvalidArgument] = []
        for check in checks:
            try:
                return check(value, path)
            except InvalidArgument as refusal:
                refusals.append(refusal)
        # A member that liked the outside and refused a part within has more
        # to say than the list of members; one that knew the part, the most.
        deeper = [r for r in refusals if len(str(r.details.get("parameter", ""))) > len(path)]
        if deeper:
            raise max(deeper, key=lambda r: "wanted" in r.details)
        # A struct has a name: what its own class says is the reason.
        if isinstance(value, Record):
            for own in refusals:
                if "wanted" not in own.details:
                    raise own
        return refuse(value, path, wanted)

    return check_union


def _streamed_or_whole(stream: Any, members: tuple[Any, ...]) -> Check:
    """``Prompt | AsyncGenerator[Element, None]``: all at once, or as a stream of elements."""
    whole = checker(Union[members])  # noqa: UP007 - made at run time
    element = check_element(typing.get_args(stream)[0], whole, checker)
    streamed = check_stream(stream, element)

    def check_either(value: Any, path: str) -> Any:
        return (streamed if isinstance(value, InputStream) else whole)(value, path)

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


def _annotated(annotation: Any) -> Check:
    return checker(typing.get_args(annotation)[0])


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


def _transparent(annotation: Any) -> Check:
    return checker(typing.get_args(annotation)[0])


ORIGINS: Mapping[Any, Callable[[Any], Check]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: _literal,
    Annotated: _annotated,
    tuple: _tuple,
    typing_extensions.Required: _transparent,
    typing_extensions.NotRequired: _transparent,
    typing.ClassVar: _transparent,
}


def _container(origin: type, members: tuple[Any, ...], annotation: Any) -> Check:
    """``list[int]``, ``Mapping[str, str]`` and their like."""
    if issubclass(origin, (collections.abc.Iterator, collections.abc.AsyncIterator)):
        return _instance(origin, describe(annotation))
    if issubclass(origin, collections.abc.Mapping):
        return _mapping(members, annotation)
    if issubclass(origin, collections.abc.Set):
        return _sequence(set, members[0], annotation)
    if issubclass(origin, collections.abc.Iterable) and len(members) == 1:
        return _sequence(list, members[0], annotation)
    return _instance(origin, describe(annotation))


def _sequence(made: type, member: Any, annotation: Any) -> Check:
    check = checker(member)
    wanted = describe(annotation)
    as_is = {int: int, str: str}.get(member)

    def check_sequence(value: Any, path: str) -> Any:
        if not isinstance(value, SEQUENCES):
            refuse(value, path, wanted)
        # Token ids come by the thousand: one pass in C says that all is well.
        if as_is is not None and set(map(type, value)) <= {as_is}:
            return value if type(value) is made else made(value)
        return made(check(item, f"{path}[{index}]") for index, item in enumerate(value))

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
