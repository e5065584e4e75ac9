"""Checks of classes: enums by name; dataclasses, structs and typed dicts by their fields.

A record or a plain map becomes an object of the class. Ranges are checked by the class itself.
"""

from __future__ import annotations

import dataclasses
import enum
import typing
from collections.abc import Mapping, Sequence
from typing import Any

import typing_extensions

from python_worker.codec.records import qualified_name
from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument, Kind
from python_worker.failures import kind_of
from python_worker.validation.constraints import FIXED_FIELDS, Compile, check_of
from python_worker.validation.messages import refuse, shown
from python_worker.validation.refused_fields import refused_fields
from python_worker.validation.scalars import Check
from python_worker.validation.type_hints import hints_of

# Fields that an object has while it is found out which of its others are refused: without its model
# an engine's arguments are those of another model.
KEPT_FIELDS: Mapping[str, Sequence[str]] = {"AsyncEngineArgs": ["model"], "EngineArgs": ["model"]}


def check_enum(cls: type[enum.Enum]) -> Check:
    """Checks a member of an enum, given by its name in any case, never by its value.

    The members of vLLM's enums are numbers, and a bare number instead of a member ends the engine.
    """
    members = {name.lower(): member for name, member in cls.__members__.items()}
    wanted = f"{cls.__name__}: one of {', '.join(cls.__members__)}"

    def check(value: Any, path: str) -> enum.Enum:
        if isinstance(value, cls):
            return value
        member = members.get(value.lower()) if isinstance(value, str) else None
        return member if member is not None else refuse(value, path, wanted)

    return check


def check_typed_dict(cls: type, compile_: Compile) -> Check:
    """Checks a dict by its keys. A record of the class's name is accepted as well."""
    required = required_keys(cls)
    fields = _FieldChecks(cls, compile_)
    wanted = cls.__name__

    def check(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, Record):
            if value.name != wanted:
                refuse(value, path, wanted)
            value = value.fields
        if not isinstance(value, dict):
            refuse(value, path, wanted)
        if missing := required - value.keys():
            raise InvalidArgument(
                f"{path}: {wanted} needs {', '.join(sorted(missing))}", parameter=path
            )
        return fields.check(value, path, wanted)

    return check


def required_keys(cls: Any) -> frozenset[str]:
    """Returns the required keys of a TypedDict.

    ``__required_keys__`` alone is wrong where annotations are kept as text: there Python takes a
    key marked ``NotRequired`` for a required one.
    """
    hints = hints_of(cls)
    optional = {
        k for k, v in hints.items() if typing.get_origin(v) is typing_extensions.NotRequired
    }
    return frozenset(cls.__required_keys__) - optional


def fields_of(cls: type) -> list[str] | None:
    """Returns the settable fields of a dataclass or msgspec.Struct; None for another class."""
    if dataclasses.is_dataclass(cls):
        return [f.name for f in dataclasses.fields(cls) if f.init and f.name[0] != "_"]
    struct_fields: tuple[str, ...] | None = getattr(cls, "__struct_fields__", None)
    if struct_fields is not None:
        return [name for name in struct_fields if name[0] != "_"]
    return None


def check_record(cls: Any, fields: Sequence[str], compile_: Compile) -> Check:
    """Checks an object of the class, or makes one from a record or a map of its fields."""
    checks = _FieldChecks(cls, compile_, fields)
    wanted = cls.__name__
    required = required_fields(cls, fields)
    kept = {*required, *KEPT_FIELDS.get(wanted, ())}
    fixed = {
        name: value
        for name, value in FIXED_FIELDS.get(qualified_name(cls), {}).items()
        if name in fields
    }

    def check(value: Any, path: str) -> Any:
        if isinstance(value, cls):
            return value
        if isinstance(value, Record):
            if value.name != wanted:
                refuse(value, path, wanted)
            value = value.fields
        # An empty keyword list of Elixir's, which is the same as an empty list.
        if value == []:
            value = {}
        if not isinstance(value, dict):
            refuse(value, path, wanted)
        checked = checks.check(value, path, wanted)
        try:
            return cls(**(checked | fixed))
        except Exception as error:
            if not is_refusal(error):
                raise
            raise refusal(checked, error, path) from error

    def refusal(checked: Mapping[str, Any], error: Exception, path: str) -> InvalidArgument:
        if missing := [name for name in required if name not in checked]:
            return InvalidArgument(
                f"{path}: {wanted} needs {', '.join(missing)}", parameter=f"{path}.{missing[0]}"
            )
        blamed = refused_fields(checked, error, lambda some: cls(**{**some, **fixed}), kept=kept)
        return refused_by_class(error, path, wanted, checked, blamed)

    return check


def is_refusal(error: Exception) -> bool:
    """Whether a class says by an error that it does not accept its fields."""
    # What is raised for an overflow or a failed assertion is no mistake of a caller elsewhere.
    return isinstance(error, (AssertionError, OverflowError)) or kind_of(error) is Kind.INVALID


def refused_by_class(
    error: Exception, path: str, wanted: str, checked: Mapping[str, Any], blamed: Sequence[str]
) -> InvalidArgument:
    """The error of fields that each fit their annotation, and that the class refuses.

    Args:
        error: What the class raised.
        path: Where the object is.
        wanted: The name of its class.
        checked: Its fields.
        blamed: Those that it refuses together, the one to blame first.
    """
    # ``str`` of vLLM's errors would name parameter and value once more.
    said = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    reason = said or f"{wanted} does not accept these values"
    if not blamed:
        return InvalidArgument(f"{path}: {reason}", parameter=path)
    parameter = f"{path}.{blamed[0]}"
    details: dict[str, object] = {"value": shown(checked[blamed[0]])}
    if len(blamed) > 1:
        details["values"] = {name: shown(checked[name]) for name in blamed}
    return InvalidArgument(f"{parameter}: {reason}", parameter=parameter, **details)


def required_fields(cls: Any, fields: Sequence[str]) -> list[str]:
    """Returns the fields of a dataclass or struct that have no default, in their order."""
    if dataclasses.is_dataclass(cls):
        missing = dataclasses.MISSING
        return [
            f.name
            for f in dataclasses.fields(cls)
            if f.name in fields and f.default is missing and f.default_factory is missing
        ]
    names: tuple[str, ...] = cls.__struct_fields__
    without = names[: len(names) - len(cls.__struct_defaults__)]
    return [name for name in fields if name in without]


class _FieldChecks:
    """The checks of a class's fields, made at their first use.

    ``AsyncEngineArgs`` has 257 fields, and some classes contain themselves.
    """

    def __init__(self, cls: type, compile_: Compile, fields: Sequence[str] | None = None) -> None:
        self._cls = cls
        self._compile = compile_
        self._fields = fields
        self._checks: dict[str, Check] | None = None

    def check(self, values: Mapping[str, Any], path: str, owner: str) -> dict[str, Any]:
        if self._checks is None:
            hints = hints_of(self._cls)
            names = hints if self._fields is None else self._fields
            self._checks = {
                name: check_of(owner, name, hints.get(name, Any), self._compile) for name in names
            }
        checked = {}
        for name, value in values.items():
            check = self._checks.get(name) if isinstance(name, str) else None
            if check is None:
                raise InvalidArgument(
                    f"{path}: {owner} has no field {name!r}", parameter=f"{path}.{name}"
                )
            checked[name] = check(value, f"{path}.{name}")
        return checked
