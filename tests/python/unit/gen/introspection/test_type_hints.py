"""Annotations and defaults of live classes, as text and JSON."""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
from typing import Any, Generic, Literal, Optional, TypedDict, TypeVar, Union

import msgspec
import pytest

from python_worker.gen.introspection import type_hints
from python_worker.gen.introspection.introspect import _describe

T = TypeVar("T")


class Color(enum.Enum):
    # The warm one
    RED = 1
    BLUE = "b"
    """The cold one."""


@dataclasses.dataclass
class Parent:
    """A parent.

    Args:
        size: How large.
    """

    size: int
    names: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Child(Parent):
    """A child."""

    color: Color = Color.RED
    """Which color."""
    tags: set[str] = dataclasses.field(default_factory=set)
    _secret: int = 0


class Struct(msgspec.Struct):
    name: str
    maybe: int | None = None


class Options(TypedDict, total=False):
    optional: int


class Keys(Options):
    needed: str


class Box(Generic[T]):
    def __init__(self, inner: T, count: int = 1, **kwargs: Any) -> None:
        self.inner = inner


class IntBox(Box[int]):
    pass


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (int, "int"),
        (None, "None"),
        (Optional[int], "int | None"),  # noqa: UP045
        (Union[None, int, str], "int | str | None"),  # noqa: UP007
        (list[dict[str, Any]], "list[dict[str, Any]]"),
        (Literal["a", 1], "Literal['a', 1]"),
        (collections.abc.Sequence[int], "Sequence[int]"),
        (collections.abc.Callable[[int], str], "Callable[[int], str]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Color, "Color"),
        ("Unknown", "Unknown"),
    ],
)
def test_text_of_a_type(hint: object, text: str) -> None:
    assert type_hints.text(hint) == text


@pytest.mark.parametrize(
    ("default", "json"),
    [
        (1.5, 1.5),
        (float("inf"), {"repr": "float(...)"}),
        ((), []),
        (Color.BLUE, {"enum": "Color.BLUE"}),
        (type_hints.Factory(dict), {}),
        (type_hints.Factory(lambda: ["a"]), ["a"]),
        (type_hints.Factory(set), {"repr": "set()"}),
        (type_hints.Factory(Color.mro), {"repr": "mro()"}),
        (object(), {"repr": "object(...)"}),
        (len, {"repr": "len"}),
    ],
)
def test_default_as_json(default: object, json: object) -> None:
    assert type_hints.literal(default) == json


def test_dataclass_with_a_parent() -> None:
    described = _describe(Child)

    assert described["kind"] == "dataclass"
    assert described["fields"] == [
        {"name": "size", "annotation": "int", "required": True, "doc": "How large."},
        {"name": "names", "annotation": "list[str]", "default": [], "doc": ""},
        {
            "name": "color",
            "annotation": "Color",
            "default": {"enum": "Color.RED"},
            "doc": "Which color.",
        },
        {"name": "tags", "annotation": "set[str]", "default": {"repr": "set()"}, "doc": ""},
    ]


def test_struct() -> None:
    described = _describe(Struct)

    assert described["kind"] == "msgspec"
    assert [field.get("required", False) for field in described["fields"]] == [True, False]


def test_typed_dict_names_what_it_needs_first() -> None:
    described = _describe(Keys)

    assert described["kind"] == "typeddict"
    assert [field["name"] for field in described["fields"]] == ["needed", "optional"]
    assert described["fields"][0]["required"]
    assert described["fields"][1]["default"] is None


def test_plain_class_has_the_fields_of_its_constructor() -> None:
    described = _describe(IntBox)

    assert described["kind"] == "class"
    assert [field["name"] for field in described["fields"]] == ["inner", "count"]
    assert described["fields"][0]["type"] == "int"


def test_members_of_an_enum_are_documented_above_or_below() -> None:
    assert _describe(Color)["members"] == [
        {"name": "RED", "doc": "The warm one"},
        {"name": "BLUE", "doc": "The cold one."},
    ]


def test_enums_are_found_within_types() -> None:
    assert type_hints.enums_in(list[Color | None]) == {Color}
    assert type_hints.enums_in(Literal["RED"]) == set()
