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
from python_worker.exceptions import InvalidArgument
from python_worker.validation.constraints import FIXED_FIELDS, Compile, check_of
from python_worker.validation.messages import refuse
from python_worker.validation.scalars import Check
from python_worker.validation.type_hints import hints_of


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
        except (AssertionError, OverflowError, TypeError, ValueError) as error:
            # A field is missing, or the class's own validation failed.
            reason = str(error) or f"{wanted} does not accept these values"
            raise InvalidArgument(f"{path}: {reason}", parameter=path) from error

    return check


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
