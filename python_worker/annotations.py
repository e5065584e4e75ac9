"""Annotations as checks: each becomes a function from a value to what a method wants.

A check refuses what does not fit its annotation, strictly: a bool is no int, a
float is no int, NaN is no number. It also makes the objects that methods want:
a record, or a plain map, becomes the dataclass, ``msgspec.Struct`` or enum that
the annotation names, and the class's own validation decides about ranges.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union

import typing_extensions

from python_worker.codec import Record
from python_worker.failures import Refused
from python_worker.hints import evaluate, hints_of
from python_worker.refusals import describe, refuse

Check = Callable[[Any, str], Any]
"""From a value and its path, such as ``params.stop[1]``, to the checked value."""

SEQUENCES = (list, tuple, set, frozenset)

# vLLM's own message to EngineCore. Nobody should fill one in by hand.
BY_REFERENCE_ONLY = frozenset({"EngineCoreRequest"})


# --- Annotations ---------------------------------------------------------------


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
    return _anything


def _anything(value: Any, path: str) -> Any:
    return plain(value)


def _none(value: Any, path: str) -> None:
    if value is not None:
        refuse(value, path, "None")


def _bool(value: Any, path: str) -> bool:
    return value if type(value) is bool else refuse(value, path, "bool")


def _int(value: Any, path: str) -> int:
    if type(value) is not int:
        refuse(value, path, "int")
    # What MessagePack can carry on to EngineCore.
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
    # No parameter of vLLM has a use for NaN, and comparisons let it through
    # every range check that is to keep it out. Infinity bans or forces tokens.
    if math.isnan(value):
        refuse(value, path, "a float that is a number")
    return value


def _str(value: Any, path: str) -> str:
    return value if isinstance(value, str) else refuse(value, path, "str")


def _bytes(value: Any, path: str) -> bytes:
    return value if isinstance(value, bytes) else refuse(value, path, "bytes")


SCALARS: Mapping[Any, Check] = {
    Any: _anything,
    object: _anything,
    inspect.Parameter.empty: _anything,
    None: _none,
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
}


def _union(annotation: Any) -> Check:
    members = typing.get_args(annotation)
    checks = [checker(member) for member in members]
    wanted = describe(annotation)
    # An int fits float as well: where both are allowed, it stays an int.
    exact = dict(zip(members, checks, strict=True))

    def check_union(value: Any, path: str) -> Any:
        same = exact.get(type(value))
        if same is not None:
            return same(value, path)
        refusals: list[Refused] = []
        for check in checks:
            try:
                return check(value, path)
            except Refused as refusal:
                refusals.append(refusal)
        # A member that liked the outside and refused a part within has more
        # to say than the list of members; one that knew the part, the most.
        deeper = [r for r in refusals if len(str(r.details.get("parameter", ""))) > len(path)]
        if deeper:
            raise max(deeper, key=lambda r: "wanted" in r.details)
        return refuse(value, path, wanted)

    return check_union


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


# --- Classes -------------------------------------------------------------------


def _class(cls: type) -> Check:
    if issubclass(cls, enum.Enum):
        return _enum(cls)
    if cls.__name__ in BY_REFERENCE_ONLY:
        return _instance(cls, cls.__name__)
    if typing_extensions.is_typeddict(cls):
        return _typed_dict(cls)
    fields = fields_of(cls)
    if fields is not None:
        return _record(cls, fields)
    if cls in (dict, collections.abc.Mapping):
        return _mapping((Any, Any), cls)
    if cls in SEQUENCES:
        return _sequence(cls, Any, cls)
    return _instance(cls, describe(cls))


def _instance(cls: type, wanted: str) -> Check:
    def check_instance(value: Any, path: str) -> Any:
        return value if isinstance(value, cls) else refuse(value, path, wanted)

    return check_instance


def _enum(cls: type[enum.Enum]) -> Check:
    """Members by name, in the case of your choice; by value never.

    vLLM's enums of parameters are numbered, and a bare number in their place
    is one of the inputs that would end the engine.
    """
    members = {name.lower(): member for name, member in cls.__members__.items()}
    wanted = f"{cls.__name__}: one of {', '.join(cls.__members__)}"

    def check_enum(value: Any, path: str) -> enum.Enum:
        if isinstance(value, cls):
            return value
        member = members.get(value.lower()) if isinstance(value, str) else None
        return member if member is not None else refuse(value, path, wanted)

    return check_enum


def _typed_dict(cls: type) -> Check:
    required = required_keys(cls)
    # Compiled at the first use: these refer to themselves through unions.
    lazy = _LazyFields(cls)
    wanted = cls.__name__

    def check_typed_dict(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, Record):
            if value.name != wanted:
                refuse(value, path, wanted)
            value = value.fields
        if not isinstance(value, dict):
            refuse(value, path, wanted)
        if missing := required - value.keys():
            raise Refused(f"{path}: {wanted} needs {', '.join(sorted(missing))}", parameter=path)
        return lazy.check(value, path, wanted)

    return check_typed_dict


def required_keys(cls: Any) -> frozenset[str]:
    """The keys a TypedDict cannot do without.

    Where annotations are kept as text, Python itself takes a key marked
    ``NotRequired`` for a required one.
    """
    hints = hints_of(cls)
    optional = {
        k for k, v in hints.items() if typing.get_origin(v) is typing_extensions.NotRequired
    }
    return frozenset(cls.__required_keys__) - optional


def fields_of(cls: type) -> list[str] | None:
    """The settable fields of a dataclass or msgspec.Struct; None for others."""
    if dataclasses.is_dataclass(cls):
        return [f.name for f in dataclasses.fields(cls) if f.init and f.name[0] != "_"]
    struct_fields: tuple[str, ...] | None = getattr(cls, "__struct_fields__", None)
    if struct_fields is not None:
        return [name for name in struct_fields if name[0] != "_"]
    return None


def _record(cls: Any, fields: Sequence[str]) -> Check:
    lazy = _LazyFields(cls, fields)
    wanted = cls.__name__

    def check_record(value: Any, path: str) -> Any:
        if isinstance(value, cls):
            return value
        if isinstance(value, Record):
            if value.name != wanted:
                refuse(value, path, wanted)
            value = value.fields
        # Elixir's empty keyword list, which cannot be told from an empty list.
        if value == []:
            value = {}
        if not isinstance(value, dict):
            refuse(value, path, wanted)
        checked = lazy.check(value, path, wanted)
        try:
            return cls(**checked)
        except (AssertionError, TypeError, ValueError) as error:
            # A field is missing, or the class's own validation refuses it.
            reason = str(error) or f"{wanted} refuses these values"
            raise Refused(f"{path}: {reason}", parameter=path) from error

    return check_record


class _LazyFields:
    """The checks of a class's fields, compiled at their first use.

    ``AsyncEngineArgs`` has 257 of them, and some classes name themselves.
    """

    def __init__(self, cls: type, fields: Sequence[str] | None = None) -> None:
        self._cls = cls
        self._fields = fields
        self._checks: dict[str, Check] | None = None

    def check(self, values: Mapping[str, Any], path: str, owner: str) -> dict[str, Any]:
        if self._checks is None:
            hints = hints_of(self._cls)
            names = hints if self._fields is None else self._fields
            self._checks = {name: checker(hints.get(name, Any)) for name in names}
        checked = {}
        for name, value in values.items():
            check = self._checks.get(name) if isinstance(name, str) else None
            if check is None:
                raise Refused(f"{path}: {owner} has no field {name!r}", parameter=f"{path}.{name}")
            checked[name] = check(value, f"{path}.{name}")
        return checked


def plain(value: Any) -> Any:
    """A value for a parameter that takes anything: records become maps."""
    if isinstance(value, Record):
        return {name: plain(item) for name, item in value.fields.items()}
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return value
