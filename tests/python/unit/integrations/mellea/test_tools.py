"""Tools, and the arguments of their calls.

Upstream: mellea's test/backends/test_tool_validation_integration.py (U-163). Its tools are
functions, of which mellea makes schemas; here the schemas are those that a client sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from python_worker.integrations.mellea.tool_arguments import Tools

offered: Any = library.load("tools")


def tool(required: list[str], /, **properties: Any) -> dict[str, Any]:
    return {
        "name": "f",
        "parameters": {"type": "object", "properties": properties, "required": required},
    }


TEXT = {"type": "string"}
SIMPLE = tool(["message"], message=TEXT)
TYPED = tool(
    ["name", "age", "score", "active"],
    name=TEXT,
    age={"type": "integer"},
    score={"type": "number"},
    active={"type": "boolean"},
)
OPTIONAL = tool(["required"], required=TEXT, optional=TEXT)
UNION = tool(["value"], value={"type": ["string", "integer"]})
LIST = tool(["items"], items={"type": "array", "items": TEXT})
MAP = tool(["config"], config={"type": "object"})
NOTHING = tool([])
# To mellea a parameter without an annotation is a text.
UNTYPED = SIMPLE

PERSON = {"name": "Test", "age": 30, "score": 95.5, "active": True}


async def validated(tool: dict[str, Any], args: dict[str, Any], **options: Any) -> dict[str, Any]:
    return await Tools().validate_tool_arguments(tool, args, **options)


# Each names its upstream test.
@pytest.mark.parametrize(
    ("tool", "args", "expected"),
    [
        # TestTypeCoercion::test_string_to_int_coercion
        (TYPED, {**PERSON, "age": "30"}, PERSON),
        # ::test_string_to_float_coercion
        (TYPED, {**PERSON, "score": "95.5"}, PERSON),
        # ::test_int_to_float_coercion
        (TYPED, {**PERSON, "score": 95}, {**PERSON, "score": 95.0}),
        # ::test_int_to_string_coercion
        (SIMPLE, {"message": 123}, {"message": "123"}),
        # ::test_bool_coercion_from_int
        (TYPED, {**PERSON, "active": 1}, PERSON),
        (TYPED, {**PERSON, "active": 0}, {**PERSON, "active": False}),
        # TestValidationModes::test_lenient_mode_with_invalid_type
        (TYPED, {**PERSON, "age": "not_a_number"}, {**PERSON, "age": "not_a_number"}),
        # ::test_lenient_mode_with_missing_required
        (OPTIONAL, {"optional": "value"}, {"optional": "value"}),
        # TestOptionalParameters::test_optional_param_provided
        (OPTIONAL, {"required": "a", "optional": "b"}, {"required": "a", "optional": "b"}),
        # ::test_optional_param_omitted
        (OPTIONAL, {"required": "a"}, {"required": "a"}),
        # ::test_optional_param_none
        (OPTIONAL, {"required": "a", "optional": None}, {"required": "a", "optional": None}),
        # TestComplexTypes::test_list_parameter
        (LIST, {"items": ["a", "b", "c"]}, {"items": ["a", "b", "c"]}),
        # ::test_dict_parameter
        (
            MAP,
            {"config": {"a": "b", "c": 42, "d": True}},
            {"config": {"a": "b", "c": 42, "d": True}},
        ),
        # ::test_empty_list
        (LIST, {"items": []}, {"items": []}),
        # TestUnionTypes::test_union_with_string
        (UNION, {"value": "hello"}, {"value": "hello"}),
        # ::test_union_with_int
        (UNION, {"value": 42}, {"value": 42}),
        # ::test_union_with_string_number
        (UNION, {"value": "42"}, {"value": "42"}),
        # TestEdgeCases::test_no_parameters_tool
        (NOTHING, {}, {}),
        # ::test_no_parameters_with_extra_args
        (NOTHING, {"fake_param": "x"}, {"fake_param": "x"}),
        # ::test_whitespace_stripping
        (SIMPLE, {"message": "  hello world  "}, {"message": "hello world"}),
        # ::test_empty_string
        (SIMPLE, {"message": ""}, {"message": ""}),
        # TestUntypedParameters::test_untyped_parameter_accepts_string
        (UNTYPED, {"message": "test"}, {"message": "test"}),
        # ::test_untyped_parameter_accepts_int
        (UNTYPED, {"message": 123}, {"message": "123"}),
        # ::test_untyped_parameter_accepts_dict
        (UNTYPED, {"message": {"a": "b", "c": 42}}, {"message": {"a": "b", "c": 42}}),
        # ::test_untyped_parameter_accepts_list
        (UNTYPED, {"message": ["a", "b"]}, {"message": ["a", "b"]}),
        # ::test_untyped_parameter_accepts_bool
        (UNTYPED, {"message": True}, {"message": True}),
        # ::test_untyped_parameter_accepts_none
        (UNTYPED, {"message": None}, {"message": None}),
        # ::test_untyped_parameter_no_coercion
        (UNTYPED, {"message": "123"}, {"message": "123"}),
    ],
)
async def test_arguments_are_made_to_fit_or_left_as_they_are(
    tool: dict[str, Any], args: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = await validated(tool, args)
    assert made == expected
    assert [type(value) for value in made.values()] == [type(it) for it in expected.values()]


# Upstream: TestWithModelToolCall::test_unvalidated_vs_validated_comparison
async def test_without_coercion_a_text_is_no_number() -> None:
    args = {**PERSON, "age": "25", "score": "88.7"}
    assert await validated(TYPED, args, coerce_types=False) == args
    # ::test_validated_tool_call_with_coercion: these are what the client's function gets.
    assert await validated(TYPED, args) == {**PERSON, "age": 25, "score": 88.7}


@pytest.mark.parametrize(
    ("tool", "args", "told"),
    [
        # TestValidationModes::test_strict_mode_with_invalid_type
        (TYPED, {**PERSON, "age": "not_a_number"}, "age"),
        # ::test_strict_mode_with_missing_required
        (OPTIONAL, {"optional": "value"}, "required: Field required"),
        # TestEdgeCases::test_no_parameters_with_extra_args
        (NOTHING, {"fake_param": "x"}, "fake_param: Extra"),
        # TestErrorMessages::test_missing_required_error_message
        (SIMPLE, {}, "message: Field required"),
        # ::test_type_mismatch_error_message
        (TYPED, {**PERSON, "age": "not_a_number"}, "age: Input should be a valid integer"),
    ],
)
async def test_strict_arguments_that_do_not_fit_are_refused_by_their_names(
    tool: dict[str, Any], args: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidArgument, match=told) as refused:
        await validated(tool, args, strict=True)
    assert refused.value.details["parameter"] == "args"


ODD_SCHEMAS: list[Any] = [
    5,
    None,
    {"type": 5},
    {"type": ["string", ["x"]]},
    {"enum": [[1]]},
    {"enum": 5},
    {"anyOf": [5]},
    {"anyOf": 5},
    {"const": []},
    {"type": "object", "properties": 5},
    {"type": "object", "properties": {"_a": {}}},
    {"type": "array", "items": 5},
]


@pytest.mark.parametrize("odd", ODD_SCHEMAS)
async def test_an_odd_schema_is_read_or_is_the_clients_mistake(odd: Any) -> None:
    odd_tool = tool(["a"], a=odd)
    said = '{"name": "f", "arguments": {"a": "x"}}'
    reads: list[Callable[[], object]] = [
        lambda: offered.validated(odd_tool, {"a": "x"}, coerce_types=True, strict=False),
        lambda: offered.calls_in(offered.tools([odd_tool]), said),
    ]
    for read in reads:
        try:
            read()
        except InvalidArgument as error:
            assert str(error).startswith("tools: ")  # noqa: PT017


@pytest.mark.parametrize(
    "odd", [5, {}, {"name": 5}, {"name": "x", "parameters": []}, {"name": "x", "y": 1}]
)
def test_a_tool_is_a_name_and_a_schema(odd: Any) -> None:
    with pytest.raises(InvalidArgument, match="tools"):
        offered.tools([odd])
