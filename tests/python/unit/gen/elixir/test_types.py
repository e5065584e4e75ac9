"""Python's types and defaults as Elixir's typespecs and terms."""

from __future__ import annotations

import pytest

from python_worker.gen.elixir.types import Types, choices, term

CLASSES = {"Params": {"kind": "dataclass"}, "Kind": {"kind": "enum"}}


@pytest.mark.parametrize(
    ("python", "elixir"),
    [
        ("int", "integer()"),
        ("float", "number()"),
        ("str | None", "String.t() | nil"),
        ("None | str", "String.t() | nil"),
        ("list[list[int]]", "[[integer()]]"),
        ("dict[str, int | None]", "%{optional(String.t()) => integer() | nil}"),
        ("Mapping[str, Any]", "%{optional(String.t()) => term()}"),
        ("set[str]", "MapSet.t(String.t())"),
        ("tuple[int, str]", "{integer(), String.t()}"),
        ("tuple[int, ...]", "tuple()"),
        ("Literal['a', 'b'] | None", "String.t() | nil"),
        ("Literal[1, 8]", "1 | 8"),
        ("Params | None", "Vllm.Params.t() | keyword() | map() | nil"),
        ("Kind", "Vllm.Kind.t()"),
        ("Callable[[int], str]", "term()"),
        ("str | Unknown", "term()"),
        ("np.ndarray", "Vllm.Tensor.t() | list()"),
    ],
)
def test_types_of_what_is_sent(python: str, elixir: str) -> None:
    assert Types(CLASSES, sent=True).field({"annotation": python, "required": True}) == elixir


@pytest.mark.parametrize(
    ("python", "elixir"),
    [
        ("float", "float() | :nan | :infinity | :neg_infinity"),
        ("Params", "Vllm.Params.t()"),
        ("FlatLogprobs | list[int] | None", "[integer()] | nil"),
        ("torch.Tensor", "Vllm.Tensor.t()"),
    ],
)
def test_types_of_what_is_received(python: str, elixir: str) -> None:
    assert Types(CLASSES, sent=False).field({"annotation": python, "required": True}) == elixir


def test_a_default_belongs_to_the_type() -> None:
    types = Types(CLASSES, sent=True)

    assert types.field({"annotation": "int", "default": None}) == "integer() | nil"
    default = {"repr": "set()"}
    assert types.field({"annotation": "set", "default": default}) == "MapSet.t() | :default"


@pytest.mark.parametrize(
    ("default", "elixir"),
    [
        (None, "nil"),
        (True, "true"),
        (0, "0"),
        (0.0, "0.0"),
        ('a"b#{c}', '"a\\"b\\#{c}"'),
        ([], "[]"),
        (["x"], '["x"]'),
        ({}, "%{}"),
        ({"enum": "Kind.FIRST"}, ":FIRST"),
        ({"repr": "set()"}, ":default"),
    ],
)
def test_defaults(default: object, elixir: str) -> None:
    assert term(default) == elixir


def test_choices_are_the_values_of_a_literal() -> None:
    assert choices("Literal['auto', 'half'] | None") == ['"auto"', '"half"']
    assert choices("str | None") == []
