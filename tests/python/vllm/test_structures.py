"""Every feature that vLLM knows a back end to lack, and what a refusal says of it.

With vLLM's own checks, and no engine.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from vllm.sampling_params import StructuredOutputsParams

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.structures import Structures
from python_worker.exceptions import InvalidArgument

# xgrammar's own, in vLLM's way to call it; the worker ignores it.
pytestmark = pytest.mark.filterwarnings("ignore:max_rollback_tokens:DeprecationWarning")

INTEGER, STRING, OBJECT = {"type": "integer"}, {"type": "string"}, {"type": "object"}
ARRAY = {"type": "array", "items": INTEGER}

#: A part of a schema that xgrammar refuses -> the keywords that the refusal names. All that
#: ``has_xgrammar_unsupported_json_features`` looks for.
XGRAMMAR: list[tuple[dict[str, Any], list[str]]] = [
    (INTEGER | {"multipleOf": 3}, ["multipleOf"]),
    ({"type": ["number", "null"], "multipleOf": 0.5}, ["multipleOf"]),
    (ARRAY | {"uniqueItems": True}, ["uniqueItems"]),
    (ARRAY | {"contains": {"const": 1}}, ["contains"]),
    (ARRAY | {"minContains": 1}, ["minContains"]),
    (ARRAY | {"maxContains": 1}, ["maxContains"]),
    (STRING | {"format": "nonsense"}, ["format"]),
    (STRING | {"pattern": "a+", "minLength": 2}, ["pattern", "minLength"]),
    (STRING | {"pattern": "a+", "maxLength": 2}, ["pattern", "maxLength"]),
    (STRING | {"format": "email", "maxLength": 9}, ["format", "maxLength"]),
    (
        OBJECT | {"propertyNames": {"pattern": "a", "maxLength": 2}},
        ["pattern", "maxLength"],
    ),
    (
        OBJECT | {"propertyNames": {"pattern": "a"}, "patternProperties": {"a": INTEGER}},
        ["propertyNames", "patternProperties"],
    ),
    (
        OBJECT | {"propertyNames": {"pattern": "a"}, "properties": {"a": INTEGER}},
        ["propertyNames", "properties"],
    ),
    (
        OBJECT | {"propertyNames": {"pattern": "a"}, "unevaluatedProperties": False},
        ["propertyNames", "unevaluatedProperties"],
    ),
    (
        OBJECT | {"patternProperties": {"a": INTEGER}, "properties": {"b": INTEGER}},
        ["patternProperties", "properties"],
    ),
    (OBJECT | {"patternProperties": {"a": INTEGER, "b": INTEGER}}, ["patternProperties"]),
    ({"allOf": [STRING, {"enum": ["yes", "no"]}]}, ["allOf"]),
    # What it finds when it compiles.
    ({"type": "nonsense"}, ["type"]),
    ({"enum": []}, ["enum"]),
    (INTEGER | {"minimum": 5, "maximum": 3}, ["minimum", "maximum"]),
    ({"type": "array", "minItems": 5, "maxItems": 3}, ["minItems", "maxItems"]),
    (STRING | {"pattern": "("}, ["pattern"]),
    ({"$ref": "#/nowhere"}, ["$ref"]),
]

#: The same of the others.
OTHERS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("guidance", ARRAY | {"uniqueItems": True}, ["uniqueItems"]),
    ("guidance", STRING | {"format": "nonsense"}, ["format"]),
    ("guidance", {"$ref": "#/nowhere"}, ["$ref"]),
    ("guidance", STRING | {"pattern": "("}, ["pattern"]),
    ("outlines", STRING | {"pattern": "(?=a)b"}, ["pattern"]),
    ("outlines", STRING | {"pattern": "("}, ["pattern"]),
    ("outlines", {"$ref": "#/nowhere"}, ["$ref"]),
]


def refused(backend: str, **structure: Any) -> InvalidArgument:
    """How an engine with this back end refuses a structure."""
    backends = vllm_parts.structure_backends(None)

    def validate(params: Any, supported_tasks: object) -> None:
        given = params.structured_outputs
        given._backend = backend
        if backend not in backends.strict:
            backends.validators[backend](params)

    config: Any = SimpleNamespace(backend=backend)
    params = SimpleNamespace(structured_outputs=StructuredOutputsParams(**structure))
    with pytest.raises(InvalidArgument) as caught:
        Structures(config, backends, validate).validate(params, ())
    return caught.value


def check(
    error: InvalidArgument, backend: str, form: str, keywords: list[str], within: str
) -> None:
    parameter = f"sampling_params.structured_outputs.{form}"
    assert str(error).startswith(f"{parameter}: {backend} does not take {keywords[0]}")
    assert error.details["parameter"] == parameter
    assert sorted(error.details["keywords"]) == sorted(keywords)  # type: ignore[call-overload]
    assert str(error.details["pointer"]).startswith(within)


def name_of(value: Any) -> str:
    return "-".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(("part", "keywords"), XGRAMMAR, ids=name_of)
def test_xgrammar(part: dict[str, Any], keywords: list[str]) -> None:
    schema = OBJECT | {"properties": {"ok": STRING, "it": part}, "required": ["ok"]}
    for given in (schema, json.dumps(schema)):
        check(refused("xgrammar", json=given), "xgrammar", "json", keywords, "/properties/it")
    check(refused("xgrammar", json=part), "xgrammar", "json", keywords, "")


@pytest.mark.parametrize(("backend", "part", "keywords"), OTHERS)
def test_other_back_ends(backend: str, part: dict[str, Any], keywords: list[str]) -> None:
    schema = OBJECT | {"properties": {"ok": STRING, "it": part}, "required": ["ok", "it"]}
    check(refused(backend, json=schema), backend, "json", keywords, "/properties/it")


def test_what_vllm_leaves_to_engine_core() -> None:
    error = refused("lm-format-enforcer", json={"type": "nonsense", "title": "it"})
    check(error, "lm-format-enforcer", "json", ["type"], "")


def test_a_back_end_that_is_of_no_use_says_so() -> None:
    """lm-format-enforcer imports a module of vLLM's that is gone."""
    error = refused("lm-format-enforcer", choice=["a"])
    assert "lm-format-enforcer does not take it: It cannot be used with this vLLM" in str(error)


def test_a_schema_within_a_structural_tag() -> None:
    tag = {
        "type": "structural_tag",
        "triggers": ["<a>"],
        "structures": [{"begin": "<a>", "schema": {"type": "nonsense"}, "end": "</a>"}],
    }
    error = refused("xgrammar", structural_tag=json.dumps(tag))
    check(error, "xgrammar", "structural_tag", ["type"], "/structures/0/schema")


@pytest.mark.parametrize(
    ("backend", "structure", "said"),
    [
        ("xgrammar", {"regex": "(?=a)b"}, "Lookahead is not supported"),
        ("xgrammar", {"regex": "(a)\\1"}, "xgrammar does not take it"),
        ("xgrammar", {"grammar": "root ::= ("}, "at line 1, column 11: Expect element"),
        ("xgrammar", {"grammar": "start: ("}, "xgrammar does not take it: Invalid grammar"),
        ("xgrammar", {"grammar": 'root ::= root "a"'}, "nothing matches it"),
        ("xgrammar", {"grammar": 'start: start "a"'}, "nothing matches it"),
        ("xgrammar", {"regex": "[^\\s\\S]"}, "nothing matches it"),
        ("xgrammar", {"json": "nope"}, "Invalid JSON grammar specification"),
        ("xgrammar", {"structural_tag": "{"}, "Invalid structural tag specification. Expecting"),
        ("guidance", {"regex": "[^\\s\\S]"}, "nothing matches it"),
        ("guidance", {"regex": "a[^\\s\\S]"}, "nothing matches it"),
        ("guidance", {"grammar": 'start: start "a"'}, "nothing matches it"),
        ("guidance", {"grammar": 'root ::= root "a"'}, "nothing matches it"),
        ("guidance", {"grammar": "not a grammar"}, "Expected ::= at line 1"),
        ("guidance", {"regex": "("}, "guidance does not take it"),
        ("outlines", {"regex": "(a)\\1"}, "Backreferences are unsupported"),
        ("outlines", {"grammar": 'root ::= "a"'}, "does not support grammar specifications"),
        ("outlines", {"json_object": True}, "does not support json_object"),
        ("lm-format-enforcer", {"grammar": 'root ::= "a"'}, "does not support grammar"),
        ("lm-format-enforcer", {"regex": "("}, "lm-format-enforcer does not take it"),
    ],
)
def test_other_forms(backend: str, structure: dict[str, Any], said: str) -> None:
    (form,) = structure
    error = refused(backend, **structure)
    assert said in str(error)
    assert error.details == {"parameter": f"sampling_params.structured_outputs.{form}"}


#: Schemas of which no back end would ever end, and where each is at fault.
CYCLES: list[tuple[dict[str, Any], str]] = [
    ({"$ref": "#"}, ""),
    ({"allOf": [{"$ref": "#"}]}, ""),
    (OBJECT | {"properties": {"a": {"$ref": "#/properties/a"}}}, "/properties/a"),
    (
        OBJECT
        | {
            "properties": {"a": {"$ref": "#/$defs/b"}},
            "$defs": {"b": {"$ref": "#/$defs/c"}, "c": {"$ref": "#/$defs/b"}},
        },
        "/properties/a",
    ),
]


@pytest.mark.parametrize("backend", ["xgrammar", "guidance", "outlines"])
@pytest.mark.parametrize(("schema", "pointer"), CYCLES)
def test_a_schema_that_leads_back_to_itself(
    backend: str, schema: dict[str, Any], pointer: str
) -> None:
    for given in (schema, json.dumps(schema)):
        error = refused(backend, json=given)
        assert error.details["parameter"] == "sampling_params.structured_outputs.json"
        if "leads back to itself" in str(error):
            assert error.details["pointer"] == pointer
        else:
            # It cannot be made a regex.
            assert backend == "outlines"


def test_a_schema_within_a_structural_tag_that_leads_back_to_itself() -> None:
    tag = {
        "type": "structural_tag",
        "triggers": ["<a>"],
        "structures": [{"begin": "<a>", "schema": {"$ref": "#"}, "end": "</a>"}],
    }
    error = refused("guidance", structural_tag=json.dumps(tag))
    assert error.details["pointer"] == "/structures/0/schema"


@pytest.mark.parametrize("backend", ["xgrammar", "guidance"])
@pytest.mark.parametrize(
    "structure",
    [
        {"regex": ""},
        {"regex": "\u00e9*"},
        {"grammar": "root ::= [a] root | [b]"},
        {"grammar": 'root ::= root "a" | "b"'},
        {"grammar": 'start: "a" start | "b"'},
        {"grammar": 'root ::= ""'},
    ],
)
def test_what_something_matches_is_not_refused(backend: str, structure: dict[str, Any]) -> None:
    backends = vllm_parts.structure_backends(None)
    given: Any = StructuredOutputsParams(**structure)
    assert not backends.matches_nothing(given, backend)
