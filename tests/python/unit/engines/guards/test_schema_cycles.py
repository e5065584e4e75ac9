"""A reference that leads back to itself is found, and one that describes something is not."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.guards.schema_cycles import find_cycle

INTEGER = {"type": "integer"}
TO_ROOT = {"$ref": "#"}
TREE = {
    "type": "object",
    "properties": {"left": TO_ROOT, "value": INTEGER, "more": {"type": "array", "items": TO_ROOT}},
}
#: Each leads to the next, and the last back to the first.
RING = {f"r{n}": {"$ref": f"#/$defs/r{(n + 1) % 2000}"} for n in range(2000)}


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        (TO_ROOT, ""),
        ({"allOf": [INTEGER, TO_ROOT]}, ""),
        ({"anyOf": [TO_ROOT, TO_ROOT]}, ""),
        ({"anyOf": [{"oneOf": [TO_ROOT]}, {"allOf": [TO_ROOT]}]}, ""),
        ({"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}}, "/properties/a"),
        ({"properties": {"a/b": {"$ref": "#/properties/a~1b"}}}, "/properties/a~1b"),
        ({"items": [{"$ref": "#/items/0"}]}, "/items/0"),
        ({"$defs": {"a b": {"$ref": "#/$defs/a%20b"}}, "$ref": "#/$defs/a%20b"}, ""),
        ({"not": {"$ref": "#/not"}}, "/not"),
        ({"$defs": RING, "items": {"$ref": "#/$defs/r5"}}, "/items"),
    ],
)
def test_a_reference_that_leads_back_to_itself(schema: Any, pointer: str) -> None:
    assert find_cycle(schema) == pointer


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"anyOf": [TO_ROOT, INTEGER]},
        {"anyOf": [TO_ROOT, True]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": INTEGER}},
        # Nobody refers to them.
        {"$defs": RING, "type": "object"},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {"$ref": 7},
        {"$ref": "#/$defs/0", "$defs": [INTEGER]},
        {"enum": [TO_ROOT]},
        {"const": TO_ROOT},
        {"allOf": TO_ROOT},
        {},
        True,
        [TO_ROOT],
        "text",
    ],
)
def test_what_describes_something_is_left_alone(schema: Any) -> None:
    assert find_cycle(schema) is None


def test_a_long_chain_of_references_is_followed() -> None:
    links = {f"l{n}": {"$ref": f"#/$defs/l{n + 1}"} for n in range(20_000)}
    whole: dict[str, Any] = {"$defs": {**links, "l20000": INTEGER}, "$ref": "#/$defs/l0"}
    assert find_cycle(whole) is None
    whole["$defs"]["l20000"] = {"$ref": "#/$defs/l10000"}
    assert find_cycle(whole) == ""
