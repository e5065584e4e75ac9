"""The backend class on an engine without vLLM. A real one is in ``vllm/test_mellea.py``."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from tests.python.support.mellea import CHAT, Engine, Kind, backend_of

SCHEMA = {"enum": ["a"]}


def tool(name: str = "f", **parameters: Any) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in parameters.items()}
    return {"name": name, "parameters": {"type": "object", "properties": properties}}


async def test_options_of_a_call_stand_before_those_of_the_backend() -> None:
    given = {"max_tokens": 5, "temperature": 0.5, "bogus": 1, "seed": 7}
    backend = await backend_of(Engine(), model_options=given)
    call = {"@@@max_new_tokens@@@": 9, "top_k": 5, "nonsense": True}
    options = await backend.effective_options(call)
    assert options["sampling"] == {"max_tokens": 9, "temperature": 0.5, "seed": 7, "top_k": 5}
    assert (await backend.effective_options())["sampling"]["max_tokens"] == 5


# Upstream: test_vllm.py::test_system_prompt (U-69)
async def test_the_prompt_has_the_system_prompt_the_turns_and_the_action() -> None:
    backend = await backend_of(Engine())
    turns = [
        {"type": "message", "role": "user", "content": "one"},
        {"type": "message", "role": "assistant", "content": "two"},
    ]
    options = {"@@@system_prompt@@@": "Be brief."}
    context = {"type": "chat", "turns": turns}
    prompt = await backend.render_prompt("three", context, options)
    assert prompt == "system: Be brief.\nuser: one\nassistant: two\nuser: three\nassistant:"
    options["add_generation_prompt"] = False  # type: ignore[assignment]
    prompt = await backend.render_prompt("three", context, options)
    assert prompt.endswith("user: three")


async def test_the_tokens_of_a_chat_have_no_special_tokens_beside_the_templates() -> None:
    engine = Engine()
    thunk = await (await backend_of(engine)).generate_from_context("x", CHAT)
    await thunk.avalue()
    [(prompt, params)] = engine.asked
    assert prompt["prompt_token_ids"] == [ord(char) for char in "user: x\nassistant:"]
    assert params.output_kind is Kind.FINAL_ONLY


async def test_a_temperature_of_zero_arrives() -> None:
    engine = Engine()
    backend = await backend_of(engine)
    await (await backend.generate_from_context("x", CHAT, {"temperature": 0.0})).avalue()
    assert engine.asked[0][1].temperature == 0.0


async def test_a_format_is_the_engines_structure_and_leaves_the_tools_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = Engine('{"name": "f", "arguments": {}}')
    backend = await backend_of(engine)
    with caplog.at_level(logging.WARNING, "mellea"):
        thunk = await backend.generate_from_context(
            "x", CHAT, tool_calls=True, tools=[tool()], format=SCHEMA
        )
    assert "the tools are left out" in caplog.text
    assert await thunk.tool_calls() is None
    assert engine.asked[0][1].structured_outputs == {"json": SCHEMA}
    assert "tool f" not in await backend.render_prompt("x", CHAT, None, True, [tool()], SCHEMA)
    with pytest.raises(InvalidArgument, match="there is a format already"):
        await backend.generate_from_context("x", CHAT, {"structured_outputs": {}}, format=SCHEMA)


async def test_tools_of_the_options_and_of_a_component_are_offered() -> None:
    backend = await backend_of(Engine())
    action = {"type": "component", "name": "X", "template": "x", "tools": [tool("own")]}
    prompt = await backend.render_prompt(action, CHAT, None, True, [tool("given")])
    assert prompt.splitlines()[:2] == ["tool given", "tool own"]
    assert "tool" not in await backend.render_prompt(action, CHAT, None, False, [tool("given")])


# Upstream: test_tool_validation_integration.py (U-163)
@pytest.mark.parametrize(
    ("said", "schema", "args"),
    [
        ('{"city": "Rome"}', {"city": "string"}, {"city": "Rome"}),
        ('{"days": "3"}', {"days": "integer"}, {"days": 3}),
        ('{"city": 5}', {"city": "string"}, {"city": "5"}),
        ('{"share": "0.5"}', {"share": "number"}, {"share": 0.5}),
        ('{"on": 1}', {"on": "boolean"}, {"on": True}),
        ('{"on": "false"}', {"on": "boolean"}, {"on": False}),
        ('{"days": "many"}', {"days": "integer"}, {"days": "many"}),
        ('{"city": "Rome"}', {}, {}),
        ('{"city": "Rome"}', {"city": "string", "days": "integer"}, {"city": "Rome"}),
    ],
)
async def test_arguments_are_made_to_fit_or_left_as_they_are(
    said: str, schema: dict[str, str], args: dict[str, Any]
) -> None:
    backend = await backend_of(Engine(f'Well: {{"name": "f", "arguments": {said}}}.'))
    thunk = await backend.generate_from_context("x", CHAT, tool_calls=True, tools=[tool(**schema)])
    assert await thunk.tool_calls() == {"f": args}


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        ('{"name": "f", "args": {"a": "1"}} {"name": "f", "args": {"a": "2"}}', {"f": {"a": "2"}}),
        ('{"function": {"name": "f", "parameters": {"a": "1"}}}', {"f": {"a": "1"}}),
        ('{"type": "function", "function": {"name": "f", "args": {}}}', None),
        ('{"name": "f", "arguments": "{}"}', None),
        ('{"name": "unknown", "arguments": {}}', None),
        ("{{{{ no call", None),
    ],
)
async def test_which_texts_are_calls(said: str, calls: Any) -> None:
    backend = await backend_of(Engine(said))
    thunk = await backend.generate_from_context(
        "x", CHAT, tool_calls=True, tools=[tool(a="string")]
    )
    assert await thunk.tool_calls() == calls


async def test_raw_texts_are_made_at_once_and_returned_in_order() -> None:
    engine = Engine("one", "two", "three")
    thunks = await (await backend_of(engine)).generate_from_raw(["a", "b", "c"])
    values = [await thunk.avalue() for thunk in thunks]
    assert sorted(values) == ["one", "three", "two"]
    assert [prompt for prompt, _ in engine.asked] == ["a", "b", "c"]
    assert values == ["one", "two", "three"]


@pytest.mark.parametrize(
    "options",
    [
        {"@@@system_prompt@@@": 5},
        {"@@@stream@@@": "yes"},
        {"@@@thinking@@@": []},
        {"@@@stream_timeout@@@": 0},
        {"@@@tools@@@": []},
        {"add_generation_prompt": 1.5},
        {5: "x"},
        {"output_kind": "DELTA"},
    ],
)
async def test_an_option_that_mellea_would_stumble_over_is_refused(options: Any) -> None:
    engine = Engine()
    backend = await backend_of(engine)
    with pytest.raises(InvalidArgument, match="model_options"):
        await backend.generate_from_context("x", CHAT, options)
    assert engine.asked == []


async def test_the_judge_is_the_model() -> None:
    from python_worker.integrations.mellea.sessions import Session

    backend = await backend_of(Engine("yes"))
    session = await Session.new(backend, CHAT)
    [item] = [item async for item in session.validate(["is kind"], "text")]
    assert item["result"]["validations"][0]["result"] is True
