"""Python's types, defaults and docstrings, as Elixir says them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from python_worker.gen import manifest
from python_worker.gen.elixir import docs, field_notes, text
from python_worker.gen.elixir.types import Types, choices, term
from python_worker.gen.introspection import source

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


def test_docs_become_markdown() -> None:
    doc = "Use ``x`` of [`Y`][vllm.y].\n\nNOTE:\n    all %%\n- one\n- two\n  more"

    assert docs.markdown(doc) == "Use `x` of `Y`.\n\nNOTE: all %\n\n- one\n- two more"


def test_a_list_is_not_part_of_the_summary() -> None:
    assert docs.summary("Sizes.\n- one\n- two") == ("Sizes.", "- one\n- two")


def test_text_cannot_leave_its_heredoc() -> None:
    made = text.heredoc("doc", 'a """ b #{c} \\d')

    assert made == '  @doc """\n  a \\""" b \\#{c} \\\\d\n  """\n'


def test_entries_of_a_docstring_are_read_and_taken_out() -> None:
    doc = "First.\n\nArgs:\n    a (int): one\n        more\n    b: two\n\nlate_one: three\n    more"

    assert source.docstring_entries(doc) == {
        "a": "one\nmore",
        "b": "two",
        "late_one": "three\nmore",
    }
    assert source.without_sections(doc) == "First."


def test_notes_are_about_fields_that_exist_and_that_vllm_leaves_undocumented() -> None:
    classes = manifest.load()["classes"]

    for name, notes in field_notes.FIELDS.items():
        docs = {field["name"]: field["doc"] for field in classes[name]["fields"]}
        assert {field for field in notes if docs[field]} == set()
    for name in field_notes.CLASSES:
        assert classes[name]["doc"] == ""
    assert set(field_notes.EXAMPLES) <= set(classes)


def test_generators_import_no_vllm() -> None:
    for file in Path(text.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                module = getattr(node, "module", None) or ""
                assert not any(n.split(".")[0] == "vllm" for n in [*names, module]), file
