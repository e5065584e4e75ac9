"""Finds what a JSON schema never gets to describe: a ``$ref`` that leads back to itself.

``{"$ref": "#"}`` is as large as you like and describes nothing. No back end says so: some end a
request in the middle, others answer with an empty text. A schema that has something between a
reference and itself, such as a property, is a different matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

Node = Mapping[str, Any]

EACH = ("allOf",)
"""Keywords whose schemas all apply to the same value."""

ONE = ("anyOf", "oneOf")
"""Keywords of whose schemas one has to apply to the same value."""

OF_PARTS = (
    *("items", "additionalItems", "contains", "propertyNames", "additionalProperties"),
    *("unevaluatedItems", "unevaluatedProperties", "not", "if", "then", "else"),
)
"""Keywords with a schema, or a list of schemas, of something else than the value itself."""

MAPS_OF_PARTS = ("properties", "patternProperties", "dependentSchemas")
"""Keywords with a schema for each name."""


def find_cycle(schema: object) -> str | None:
    """Where a schema leads back to itself and describes nothing on the way.

    Args:
        schema: As decoded JSON.

    Returns:
        A JSON pointer, empty for the whole schema; None where there is no such place.
    """
    if not isinstance(schema, dict):
        return None
    nodes = dict(_reached(schema))
    needs = {key: _needs(schema, node) for key, (_, node) in nodes.items()}
    dependents: dict[int, list[int]] = {}
    for key, groups in needs.items():
        for group in groups:
            for other in group:
                dependents.setdefault(other, []).append(key)
    # A schema describes something if what it needs does, beginning with those that need nothing.
    waiting = list(needs)
    describing: set[int] = set()
    while waiting:
        key = waiting.pop()
        if key in describing or key not in needs:
            continue
        if all(any(other in describing for other in group) for group in needs[key]):
            describing.add(key)
            waiting += dependents.get(key, ())
    return next((pointer for key, (pointer, _) in nodes.items() if key not in describing), None)


def _reached(schema: Node) -> Iterator[tuple[int, tuple[str, Node]]]:
    """The schemas that are used, by identity, each with a pointer to it; the first is the whole."""
    waiting: list[tuple[str, object]] = [("", schema)]
    seen: set[int] = set()
    while waiting:
        pointer, node = waiting.pop()
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        yield id(node), (pointer, node)
        waiting += reversed(list(_inner(pointer, node)))
        if "$ref" in node:
            waiting.append((f"{node['$ref']}"[1:], _target(schema, node["$ref"])))


def _inner(pointer: str, node: Node) -> Iterator[tuple[str, object]]:
    for name in (*EACH, *ONE, "prefixItems", *OF_PARTS):
        value = node.get(name)
        if isinstance(value, list):
            yield from ((f"{pointer}/{name}/{place}", it) for place, it in enumerate(value))
        else:
            yield f"{pointer}/{name}", value
    for name in MAPS_OF_PARTS:
        value = node.get(name)
        if isinstance(value, dict):
            yield from ((f"{pointer}/{name}/{_escaped(key)}", it) for key, it in value.items())


def _needs(schema: Node, node: Node) -> list[list[int]]:
    """What a schema needs to describe something: of each group one."""
    groups: list[list[int]] = []
    if "$ref" in node:
        groups += _known([_target(schema, node["$ref"])])
    for name in EACH:
        for each in _list(node.get(name)):
            groups += _known([each])
    for name in ONE:
        alternatives = _list(node.get(name))
        if alternatives:
            groups += _known(alternatives)
    return groups


def _known(schemas: Sequence[object]) -> list[list[int]]:
    """A group of schemas; none where one of them describes something anyway."""
    keys = [id(it) for it in schemas if isinstance(it, dict)]
    return [keys] if len(keys) == len(schemas) else []


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _target(schema: Node, ref: object) -> object:
    """What a reference within the schema refers to; None for any other."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        return None
    node: Any = schema
    for step in unquote(ref).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            return None
    return node


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
