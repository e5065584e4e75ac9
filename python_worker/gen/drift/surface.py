"""What two vLLM versions are compared by: methods, parameters, fields and docstrings as text.

A surface comes from a manifest (here) or from source text (`surface_source.py`). The two
word defaults differently, so only surfaces of one origin are compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from python_worker.gen.manifest import ENGINES


@dataclass(frozen=True)
class Value:
    """A parameter, a field or an enum's member.

    Attributes:
        annotation: As written; empty where there is none.
        default: As text; None where the value is required.
        kind: How a parameter is passed; empty for fields.
    """

    name: str
    annotation: str = ""
    default: str | None = None
    kind: str = ""


@dataclass(frozen=True)
class Method:
    """A method or a property."""

    name: str
    kind: str
    parameters: tuple[Value, ...]
    returns: str
    doc: str


@dataclass(frozen=True)
class Class:
    """A class, as far as the bridge knows it.

    Attributes:
        qualname: Where it is.
        fields: What it travels by; for an enum its members.
        methods: Those that are served.
        attributes: Public attributes that its constructor sets.
    """

    qualname: str
    doc: str
    fields: tuple[Value, ...] = ()
    methods: tuple[Method, ...] = ()
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Surface:
    """One vLLM version.

    Attributes:
        version: As the package says.
        classes: By short name, the engines first; a class that is not there is missing.
    """

    version: str
    classes: dict[str, Class] = field(default_factory=dict)


def vllm_classes(manifest: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The classes of a manifest that are vLLM's, and not the bridge's own."""
    for name, described in manifest["classes"].items():
        if described["qualname"].startswith("vllm."):
            yield name, described


def from_manifest(manifest: dict[str, Any]) -> Surface:
    """Reads a manifest."""
    classes = {
        name: Class(
            qualname=manifest[key]["qualname"],
            doc=manifest[key]["doc"],
            methods=tuple(map(_method, manifest[key]["members"])),
            attributes=tuple(manifest[key]["instance_attributes"]),
        )
        for name, key in ENGINES.items()
    }
    for name, described in vllm_classes(manifest):
        classes[name] = Class(
            qualname=described["qualname"],
            doc=described["doc"],
            fields=tuple(map(_value, described.get("fields") or described.get("members", ()))),
            methods=tuple(map(_method, described.get("methods", ()))),
        )
    return Surface(manifest["vllm_version"], classes)


def _method(member: dict[str, Any]) -> Method:
    return Method(
        name=member["name"],
        kind=member["kind"],
        parameters=tuple(map(_value, member["parameters"])),
        returns=member["returns"] or "",
        doc=member["doc"],
    )


def _value(described: dict[str, Any]) -> Value:
    return Value(
        name=described["name"],
        annotation=described.get("annotation", ""),
        default=_default(described["default"]) if "default" in described else None,
        kind=described.get("kind", ""),
    )


def _default(default: object) -> str:
    if isinstance(default, dict) and len(default) == 1 and set(default) <= {"enum", "repr"}:
        return str(next(iter(default.values())))
    if default is None or isinstance(default, bool | str):
        return repr(default)
    return json.dumps(default)
