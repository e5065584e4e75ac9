"""The smallest part of a schema that is refused with the same words, and where it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from python_worker.engines.guards.structure_faults import find_fault

WORDS = "features that are not supported"


def refuse(schema: Any) -> str | None:
    """A back end that knows no ``multipleOf`` of integers, and no two branches of ``allOf``."""
    found: set[str] = set()
    look(schema, found)
    if "#/$defs/size" in str(schema) and "size" not in str(schema.get("$defs")):
        return "unresolved"
    return WORDS if found else None


def look(node: Any, found: set[str]) -> None:
    if isinstance(node, dict):
        if node.get("type") == "integer" and "multipleOf" in node:
            found.add("multipleOf")
        if len(node.get("allOf", ())) > 1:
            found.add("allOf")
        if "pattern" in node and ("minLength" in node or "maxLength" in node):
            found.add("pattern")
        for value in node.values():
            look(value, found)
    elif isinstance(node, list):
        for value in node:
            look(value, found)


FIVE = {"type": "integer", "minimum": 1, "multipleOf": 5, "title": "five"}
SCHEMAS: dict[str, tuple[Any, str, list[str]]] = {
    "at the root": (FIVE, "", ["multipleOf"]),
    "in a property": (
        {"type": "object", "properties": {"a": {"type": "string"}, "b": FIVE}, "required": ["a"]},
        "/properties/b",
        ["multipleOf"],
    ),
    "in a list": ({"anyOf": [{"type": "null"}, {"items": FIVE}]}, "/anyOf/1/items", ["multipleOf"]),
    "of several faults, the last": (
        {"properties": {"a": FIVE, "b": {"allOf": [{}, {}]}}},
        "/properties/b",
        ["allOf"],
    ),
    "of several keywords": (
        {"properties": {"x": {"pattern": "a", "minLength": 1, "maxLength": 2, "title": "x"}}},
        "/properties/x",
        ["pattern", "maxLength"],
    ),
    "behind a reference": (
        {"properties": {"a": {"$ref": "#/$defs/size"}}, "$defs": {"size": FIVE, "other": {}}},
        "/$defs/size",
        ["multipleOf"],
    ),
    "under names that a pointer escapes": (
        {"properties": {"a/b~c": FIVE}},
        "/properties/a~1b~0c",
        ["multipleOf"],
    ),
}


@pytest.mark.parametrize(("schema", "pointer", "keywords"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_fault_is_found(schema: Any, pointer: str, keywords: list[str]) -> None:
    before = copy.deepcopy(schema)
    fault = find_fault(schema, refuse)
    assert fault is not None
    assert (fault.pointer, fault.keywords) == (pointer, keywords)
    assert schema == before


def test_a_fault_in_words() -> None:
    schema = {"properties": {"b": FIVE}}
    assert str(find_fault(schema, refuse)) == (
        'multipleOf at /properties/b, in {"type": "integer", "multipleOf": 5}'
    )
    assert "multipleOf at the root" in str(find_fault(FIVE, refuse))
    long = {"pattern": "é" * 1000, "minLength": 1}
    assert len(str(find_fault(long, refuse))) < 300


@pytest.mark.parametrize(
    ("schema", "pointer", "keywords"),
    [
        (
            {"triggers": ["<a>"], "structures": [{"schema": {"bad": 1}}]},
            "/structures/0/schema",
            ["bad"],
        ),
        ({"type": "object", "patternProperties": {"^a": {}, "bad": {}}}, "", ["patternProperties"]),
        ({"type": "object", "properties": {"a": {"type": "bad"}}}, "/properties/a", ["type"]),
        ({"$ref": "bad"}, "", ["$ref"]),
    ],
)
def test_what_only_leads_to_a_fault_is_not_one(
    schema: Any, pointer: str, keywords: list[str]
) -> None:
    def needs_the_rest(given: Any) -> str | None:
        rest = [name for name in schema if name not in given]
        return None if rest or "bad" not in str(given) else WORDS

    fault = find_fault(schema, needs_the_rest)
    assert fault is not None
    assert (fault.pointer, fault.keywords) == (pointer, keywords)


def test_where_there_is_none() -> None:
    assert find_fault({"type": "integer"}, refuse) is None
    assert find_fault([], lambda schema: WORDS) is None
    # Refused whatever it holds.
    assert find_fault({"a": 1}, lambda schema: WORDS) is None


def test_the_work_is_limited() -> None:
    tried = 0

    def count(schema: Any) -> str | None:
        nonlocal tried
        tried += 1
        return refuse(schema)

    schema = {"properties": {f"p{n}": {"type": "string"} for n in range(1000)} | {"z": FIVE}}
    fault = find_fault(schema, count, max_chars=100_000)
    assert fault is not None
    assert (fault.pointer, fault.keywords) == ("", ["properties"])
    assert tried < 10
